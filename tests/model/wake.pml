// SPDX-License-Identifier: Apache-2.0
//
// Who is woken: a publisher, a group of workers with replacements, and the supervisor. The
// publisher's store of the tail sits in a store buffer until it is flushed; the workers' barrier on
// every thread flushes it. When nobody runs and nobody will, no event may be left.
//
// Two subscriptions; a handler of the first may be long (its worker steps out of the count) or may
// hang until nothing else moves (the supervisor replaces its worker).
//
// Planted faults (-D...): NO_BARRIER, NO_SECOND_LOOK, BIT_LAST, FORGETS_OWED, NO_LOOK_AT_RETURN,
// NO_REPLACE_LOOK. (The look after stepping out only brings the next worker sooner.)

#define EVENTS 2
#ifndef WORKERS
#define WORKERS 1
#endif
#define SPARES 1
#define SUBS 2

byte tail = 0, buffered = 0;     /* what others see; what the publisher has stored */
byte cursor[SUBS];
bool owned[SUBS];
bool asleep = true;
byte awake = 0;
byte running = 0, owed = 0, allowed = WORKERS;
byte queue = 0;                  /* jobs given to the executor */
bool published_all = false;
bool hangs = false;              /* the first subscription's handler, once */
mtype = { free, serving, serving_out, written_off };
mtype seat[WORKERS + SPARES] = free;
byte hanging = 0;                /* workers inside the hanging handler */
byte hanging_who = 0;
bool released = false;

inline barrier() {
#ifdef NO_BARRIER
    skip
#else
    tail = buffered
#endif
}

inline start_one() {
    if
    :: running < allowed -> running++; queue++
#ifdef FORGETS_OWED
    :: else -> skip
#else
    :: else -> owed++
#endif
    fi
}

inline wake_group() {
#ifdef BIT_LAST
    atomic {
        if
        :: awake == 0 -> awake = 1; start_one()
        :: else -> skip
        fi
    };
    asleep = false;
    woke = false;
#else
    asleep = false;
    atomic {
        if
        :: awake == 0 -> awake = 1; woke = true
        :: else -> woke = false
        fi
    };
#endif
    if
    :: woke -> atomic { start_one() }; woke = false
    :: else -> skip
    fi
}

/* In two steps: the count, then the bit. */
inline out_of_count() {
    atomic {
        awake--;
        last = (awake == 0)
    };
    if
    :: last -> asleep = true
    :: else -> skip
    fi;
    last = false;
    barrier()
}

#define ready(s) (!owned[s] && cursor[s] != tail)

proctype publisher() {
    bool woke = false;
    do
    :: buffered == EVENTS -> break
    :: else ->
        buffered++;
        if
        :: asleep -> tail = buffered; wake_group()   /* its exchanges empty the store buffer */
        :: else -> skip
        fi
    od;
    published_all = true
}

/* The store buffer drains by itself, some time. */
proctype drain() {
    do
    :: atomic { tail != buffered -> tail = buffered }
    :: atomic { published_all && tail == EVENTS -> break }
    od
}

proctype worker(byte me) {
    byte s;
    bool woke = false, last = false, out = false, found = false, again = false;
end_idle:
    do
    :: atomic { queue > 0 -> queue-- };
look:   found = false;
        s = 0;
        do
        :: s < SUBS ->
            if
            :: atomic { ready(s) -> owned[s] = true };
                found = true;
                out = false;
                /* a handler that may be long: out of the count, if another worker may start */
                if
                :: s == 0 && allowed > 1 ->
                    out_of_count();
                    out = true;
                    if
                    :: ready(1 - s) -> wake_group()
                    :: else -> skip
                    fi
                :: skip
                fi;
                atomic {
                    if
                    :: out -> seat[me] = serving_out
                    :: else -> seat[me] = serving
                    fi
                };
                cursor[s] = tail;
                /* the handler hangs until nothing else moves */
                if
                :: atomic { s == 0 && hangs -> hangs = false; hanging++; hanging_who = me };
                    atomic { released -> hanging-- }
                :: skip
                fi;
                owned[s] = false;
                if
                :: atomic { seat[me] == written_off -> seat[me] = free };
#ifndef NO_LOOK_AT_RETURN
                    if
                    :: ready(0) || ready(1) -> wake_group()
                    :: else -> skip
                    fi;
#endif
                    atomic { running--; allowed-- };
                    goto end_idle
                :: atomic { seat[me] == serving_out -> seat[me] = free; awake++ }
                :: atomic { seat[me] == serving -> seat[me] = free }
                fi
            :: else -> skip
            fi;
            s++
        :: else -> break
        od;
        if
        :: found -> goto look
        :: else -> skip
        fi;
        out_of_count();
#ifndef NO_SECOND_LOOK
        if
        :: ready(0) || ready(1) ->
            asleep = false;
            atomic {
                if
                :: awake == 0 -> awake = 1; again = true
                :: else -> again = false
                fi
            };
            if
            :: again -> again = false; goto look
            :: else -> skip
            fi
        :: else -> skip
        fi;
#endif
        atomic {
            if
            :: owed > 0 && running <= allowed -> owed--; again = true
            :: else -> running--; again = false
            fi
        };
        if
        :: again -> again = false; goto look
        :: else -> skip
        fi
    od
}

/* Replaces a worker that a handler holds; once is enough to be wrong. */
proctype supervisor() {
    bool woke = false, last = false, counted = false;
    byte w = 0;
end_quiet: hanging > 0;
    w = hanging_who;
    if
    :: running < allowed ->
        if
        :: atomic { seat[w] == serving -> seat[w] = serving_out }; out_of_count()
        :: else -> skip
        fi
    :: else ->
        if
        :: atomic { seat[w] == serving -> seat[w] = written_off; counted = true }
        :: atomic { seat[w] == serving_out -> seat[w] = written_off; counted = false }
        :: else -> goto done
        fi;
        atomic {
            allowed++;
            if
            :: owed > 0 -> owed--; running++; queue++
            :: else -> skip
            fi
        };
        if
        :: counted -> out_of_count()
        :: else -> skip
        fi
    fi;
#ifndef NO_REPLACE_LOOK
    if
    :: ready(0) || ready(1) -> wake_group()
    :: else -> skip
    fi;
#endif
done: skip
}

/* Nothing moves: what is ready now would lie there. A handler that hangs is then let go. */
proctype check() {
    do
    :: atomic { timeout ->
        assert(owned[0] || cursor[0] == EVENTS);
        assert(owned[1] || cursor[1] == EVENTS);
        if
        :: hanging > 0 -> released = true
        :: else -> break
        fi }
    od
}

init {
    atomic {
        if
        :: hangs = true
        :: skip
        fi;
        run publisher(); run drain(); run supervisor(); run check();
        run worker(0); run worker(1);
#if WORKERS == 2
        run worker(2)
#endif
    }
}
