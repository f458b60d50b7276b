// SPDX-License-Identifier: Apache-2.0
//
// The waiters of a resource pool: holders that return a slot by a plain store and then look at the
// door, callers that enter the queue, have every processor drain its store buffer, and then look
// for an idle slot, hand-over under the lock, and waits that end at a deadline. A return's store
// stays in a buffer, unseen by all others, until its processor drains it: on its own some time, at
// its next locked step, or at a barrier. The first caller that waits says so (careful) before its
// barrier; while that stands returns use a locked step, and callers need no barrier. A return that
// began before looks for it again behind its store. It ends when nobody waits, by whoever then has
// all buffers drained and looks once more whether somebody can be served. All other steps interleave as sequentially consistent ones do. Every caller must end, with a lease or at its deadline; a slot must not be in two hands, nor
// lie idle in the end while a caller waits; and a caller that came later must not overtake one that
// had entered the queue before it came.
//
// -DCARE: with careful, and its end; without, every caller has a barrier of its own.
//
// Planted faults (-D...): LOOK_FIRST (a caller looks for idle slots before it enters the queue),
// DOOR_FIRST (a return looks at the door before its slot is idle), DEAF_TIMEOUT (a caller whose
// deadline passed leaves without asking whether it was handed a slot), BARGE (a newcomer takes a
// slot though the door says that somebody waits), NO_BARRIER (a caller looks without a barrier),
// NO_SECOND_LOOK (a return does not look for careful behind its store), BARE_END (the care ends
// without a barrier and a look).

#ifndef CALLERS
#define CALLERS 3
#endif
#define SLOTS 1
#define NOBODY 15

#define WAITING 0
#define HANDED 1

byte holder[SLOTS];            /* NOBODY: idle */
byte door = 0;                 /* waiters in the queue */
byte queue[CALLERS]; byte queued = 0;
byte word[CALLERS];            /* WAITING or HANDED */
byte given[CALLERS];
bool in_queue[CALLERS];
bool lock = false;
byte ended = 0, leased = 0, late = 0;
byte waits_before[CALLERS];    /* callers that stood in the queue when this one began, a bit each */
bool buffered = false;         /* the holder's return lies in its store buffer */
byte buffer_of = NOBODY;       /* whose */
bool careful = false;          /* returns use a locked step */

inline drain() { if :: buffered -> holder[0] = NOBODY; buffered = false :: else -> skip fi }
/* A locked step: its processor's buffer is empty behind it. */
inline take_lock() {
    atomic {
        !lock -> lock = true;
        if :: buffer_of == me -> drain() :: else -> skip fi
    }
}
inline drop_lock() { lock = false }

/* One CAS: idle -> `who`. */
inline claim(slot, who, got) {
    atomic {
        if
        :: holder[slot] == NOBODY -> holder[slot] = who; got = true
        :: else -> got = false
        fi
    }
}

/* Under the lock: the first waiter and an idle slot, if there are both. */
inline serve() {
    do
    :: take_lock();
       if
       :: queued == 0 -> drop_lock(); break
       :: else ->
            claim(0, queue[0], ok);
            if
            :: !ok -> drop_lock(); break
            :: else ->
                 atomic {
                     served = queue[0];
                     for (i : 1 .. CALLERS - 1) { queue[i - 1] = queue[i] }
                     i = 0;
                     queued--;
                     in_queue[served] = false;
                     door--
                 }
                 given[served] = 0;
                 word[served] = HANDED;
                 drop_lock()
            fi
       fi
    od;
    served = 0
}

inline give_back(slot) {
#ifdef DOOR_FIRST
    seen = door;
#endif
    if
#ifdef CARE
    :: careful ->
        atomic { assert(holder[slot] == me && !buffered); holder[slot] = NOBODY };
#ifndef DOOR_FIRST
        seen = door
#endif
#endif
    :: else ->
        atomic { assert(holder[slot] == me && !buffered); buffered = true; buffer_of = me };
#ifndef DOOR_FIRST
        seen = door;
#endif
#if defined(CARE) && !defined(NO_SECOND_LOOK)
        if
        :: careful ->
            atomic { if :: buffer_of == me -> drain() :: else -> skip fi };
            seen = door
        :: else -> skip
        fi
#endif
    fi;
    if
    :: seen != 0 -> serve()
    :: else -> skip
    fi;
    atomic {
        if :: buffer_of == me -> drain(); buffer_of = NOBODY :: else -> skip fi;  /* some time later */
        seen = 0
    }
}

inline use_and_return(slot) {
    assert(holder[slot] == me);
    leased++;
    give_back(slot)
}

proctype caller(byte me) {
    byte seen = 0, served = 0, i = 0;
    bool ok = false, has = false;

    /* began: who stands in the queue now came before */
    atomic {
        seen = door;
        for (i : 0 .. CALLERS - 1) {
            if
            :: in_queue[i] -> waits_before[me] = waits_before[me] | (1 << i)
            :: else -> skip
            fi
        }
        i = 0
    }
    if
#ifdef BARGE
    :: true ->
#else
    :: seen == 0 ->
#endif
        atomic {
            claim(0, me, ok);
            if
            :: ok ->
                 for (i : 0 .. CALLERS - 1) {
                     assert(!(in_queue[i] && (waits_before[me] & (1 << i))))
                 }
                 i = 0
            :: else -> skip
            fi
        }
    :: else -> ok = false
    fi;
    waits_before[me] = 0;
    if
    :: ok -> use_and_return(0); goto end_
    :: else -> skip
    fi;

#ifdef LOOK_FIRST
    serve();
#endif
    take_lock();
    atomic { queue[queued] = me; queued++; in_queue[me] = true; door++ }
    drop_lock();
#ifndef LOOK_FIRST
#ifndef NO_BARRIER
    if
    :: careful -> skip
    :: else ->
#ifdef CARE
        careful = true;
#endif
        atomic { drain() }
    fi;
#endif
    serve();
#endif
    do
    :: word[me] == HANDED -> has = true; break
    :: me == 0 ->                      /* this one has a deadline, which may pass at any time */
#ifndef DEAF_TIMEOUT
        take_lock();
        if
        :: word[me] == HANDED -> drop_lock()
        :: else ->
#else
        take_lock();
        if
        :: true ->
#endif
            atomic {
                i = 0;
                do
                :: i < queued && queue[i] != me -> i++
                :: else -> break
                od;
                if
                :: i < queued ->
                     do
                     :: i + 1 < queued -> queue[i] = queue[i + 1]; i++
                     :: else -> break
                     od;
                     queued--;
                     in_queue[me] = false;
                     door--
                :: else -> skip
                fi;
                i = 0
            }
            drop_lock();
            break
        fi
    od;
    if
    :: has -> use_and_return(given[me])
    :: else -> late++
    fi;
end_:
    atomic { ended++; ok = false; has = false; given[me] = 0; word[me] = WAITING; waits_before[me] = 0 }
}

/* Holds the slot at first. */
proctype first_holder() {
    byte me = CALLERS, seen = 0, served = 0, i = 0;
    bool ok = false;
    give_back(0);
    ended++
}

/* Ends the care when nobody waits; what it saw may be over when it does. */
proctype calm() {
    byte me = CALLERS + 1, served = 0, i = 0;
    bool ok = false;
    do
    :: careful && door == 0 ->
        careful = false;
#ifndef BARE_END
        atomic { drain() };
        serve();
        ok = false
#endif
    :: ended == CALLERS + 1 -> break
    od
}

/* In the end: everybody is served or late, and the slot is idle. */
proctype check() {
    ended == CALLERS + 1;
    assert(leased + late == CALLERS);
    assert(queued == 0 && door == 0);
    assert(holder[0] == NOBODY && !buffered)
}

/* A caller that waits for ever is an end that is not valid: found as a deadlock. */
init {
    atomic {
        holder[0] = CALLERS;
        run first_holder();
        run caller(0); run caller(1);
#if CALLERS > 2
        run caller(2);
#endif
#ifdef CARE
        run calm();
#endif
        run check()
    }
}
