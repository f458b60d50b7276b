// SPDX-License-Identifier: Apache-2.0
//
// The hand-over of a lossy or critical ring: a publisher that laps (rescues) a cursor, a worker that
// takes ranges of up to two by pin and CAS, slots exchanged while pinned. Release and acquire give
// each step below its order, so steps interleave but are not reordered. Every event must end in
// exactly one of: delivered by the worker, in order, with its own content; lost and counted; with
// BACKLOG, delivered from the backlog before anything newer; with CONFLATE (two keys), folded into a
// newer one of its key or delivered, in order.
//
// Planted faults (-D...): NO_PIN, LATE_PIN, LATE_ENTRIES, NO_EXCHANGE, BLIND_RESCUE, GIVE_AWAY;
// BACKLOG_FIRST with BACKLOG; FLAG_LAST, BOLD, UNTAKEN with CONFLATE.

#ifdef BOLD
#define TIMELY(position) true
#else
#define TIMELY(position) (position < from)
#endif

#define CAP 2
#ifndef EVENTS
#define EVENTS 5
#endif
#define SLOTS 6          /* CAP resident, the rest spare */
#define NONE 15
#define R 16             /* rescue bit in `cursor`, beside the position */

byte tail = 0;           /* committed positions */
byte cursor = 0;         /* position, or position + R */
byte pin_first = NONE, pin_count = 0;
byte entry[CAP];
byte content[SLOTS];     /* position + 1 of the event that a slot holds */
byte spares[SLOTS]; byte spare_count = 0;
byte limbo[SLOTS]; byte limbo_at[SLOTS]; byte limbo_count = 0;
byte backlog[EVENTS]; byte backlog_in = 0, backlog_out = 0;
byte cell[2], held[2], folded = 0;        /* position + 1; 0 = none */
bool kept = false;
byte lost = 0, told = 0, delivered = 0, next = 0;   /* next: first position not yet accounted for in order */
bool published_all = false;

/* What the worker holds: a copy in progress reads a slot that must not change under it. */
byte from, upto, seen_tail, word, ids[2], i, lost_now, key, taken;

inline account(position) {
    /* in order, and whatever lies between was told as lost */
    assert(position >= next);
#ifndef CONFLATE
    assert(position - next == lost_now);
#endif
    told = told + lost_now;
    lost_now = 0;
    next = position + 1;
    delivered++
}

proctype worker() {
    do
    :: published_all && cursor == EVENTS && backlog_in == backlog_out && !kept && held[0] == 0 &&
       held[1] == 0 -> break
    :: else ->
#ifdef BACKLOG_FIRST
        /* fault: the backlog before the cursor: what a rescue brings in between comes too late */
        if
        :: backlog_out < backlog_in -> atomic { lost_now = 0; account(backlog[backlog_out]); backlog_out++ }; goto again
        :: else -> skip
        fi;
#endif
        word = cursor;                      /* cursor first */
        if
        :: word >= R -> goto again          /* a rescue is at work */
        :: else -> skip
        fi;
        from = word;
#if defined(BACKLOG) && !defined(BACKLOG_FIRST)
        if
        :: backlog_out < backlog_in -> atomic { lost_now = 0; account(backlog[backlog_out]); backlog_out++ }; goto again
        :: else -> skip
        fi;
#endif
#ifdef CONFLATE
#ifdef UNTAKEN
        /* fault: what the ring holds goes before what was kept outside */
        if
        :: (kept || held[0] != 0 || held[1] != 0) && tail <= from ->
#else
        if
        :: kept || held[0] != 0 || held[1] != 0 ->
#endif
#ifndef FLAG_LAST
            kept = false;                   /* the flag first: what is kept after this sets it again */
#endif
            key = 0;
            do
            :: key < 2 ->
                atomic { taken = cell[key]; cell[key] = 0 };
                if
                :: taken != 0 && held[key] != 0 -> folded++; held[key] = taken
                :: taken != 0 && held[key] == 0 -> held[key] = taken
                :: else -> skip
                fi;
                key++
            :: else -> break
            od;
#ifdef FLAG_LAST
            kept = false;
#endif
            /* in order, and none that a rescue is still walking over */
            do
            :: held[0] != 0 && (held[1] == 0 || held[0] < held[1]) && TIMELY(held[0] - 1) ->
                atomic { account(held[0] - 1); held[0] = 0 }
            :: held[1] != 0 && (held[0] == 0 || held[1] < held[0]) && TIMELY(held[1] - 1) ->
                atomic { account(held[1] - 1); held[1] = 0 }
            :: else -> break
            od;
            goto again
        :: else -> skip
        fi;
#endif
        seen_tail = tail;
        upto = (seen_tail > from + 2 -> from + 2 : seen_tail);
        if
        :: upto <= from -> goto again
        :: else -> skip
        fi;
#ifndef LATE_ENTRIES
        i = from;
        do
        :: i < upto -> ids[i - from] = entry[i % CAP]; i++
        :: else -> break
        od;
#endif
        lost_now = lost - told;
#if !defined(NO_PIN) && !defined(LATE_PIN)
        atomic { pin_first = from; pin_count = upto - from };
#endif
        if
        :: atomic { cursor == word -> cursor = upto }
        :: atomic { cursor != word -> pin_first = NONE; pin_count = 0; goto again }
        fi;
#ifdef LATE_PIN
        atomic { pin_first = from; pin_count = upto - from };
#endif
#ifdef LATE_ENTRIES
        i = from;
        do
        :: i < upto -> ids[i - from] = entry[i % CAP]; i++
        :: else -> break
        od;
#endif
        i = from;
        do
        :: i < upto ->
            /* the copy, in two steps: its first and its last byte */
            assert(content[ids[i - from]] == i + 1);
            atomic { assert(content[ids[i - from]] == i + 1); account(i) };
            i++
        :: else -> break
        od;
        atomic { pin_first = NONE; pin_count = 0 };
again:  skip
    od;
    assert(delivered + lost + folded == EVENTS);
    assert(next == EVENTS || lost > 0)
}

inline reclaim() {
    d_step {
        k = 0;
        do
        :: k < limbo_count ->
            if
            :: pin_first != NONE && limbo_at[k] >= pin_first && limbo_at[k] < pin_first + pin_count -> k++
            :: else ->
                spares[spare_count] = limbo[k]; spare_count++;
                limbo_count--;
                limbo[k] = limbo[limbo_count]; limbo_at[k] = limbo_at[limbo_count]
            fi
        :: else -> break
        od; k = 0
    }
}

proctype publisher() {
    byte at = 0, seen, p, k = 0, slot, q;
    do
    :: at == EVENTS -> break
    :: else ->
        if
        :: at >= CAP ->
            seen = cursor;
            if
            :: seen < R && seen + CAP <= at ->
                /* a rescue: nobody else moves the cursor from here */
#ifdef BLIND_RESCUE
                p = seen;
#else
                if
                :: atomic { cursor == seen -> cursor = seen + R; p = seen }
                :: atomic { cursor != seen -> goto looked }
                fi;
#endif
#ifdef CONFLATE
                q = 0;
                do
                :: q < 2 ->
                    atomic {
                        if
                        :: cell[(p + q) % 2] != 0 -> folded++; cell[(p + q) % 2] = 0
                        :: else -> skip
                        fi
                    };
                    cell[(p + q) % 2] = content[entry[(p + q) % CAP]];
                    q++
                :: else -> break
                od;
                kept = true;
                cursor = p + 2;
#else
#ifdef BACKLOG
                backlog[backlog_in] = content[entry[p % CAP]] - 1;
                backlog_in++;
#else
                lost++;
#endif
                cursor = p + 1;
#endif
looked:         skip
            :: else -> skip
            fi;
            reclaim();
            /* is the place's slot pinned? */
            if
#ifndef NO_EXCHANGE
            :: pin_first != NONE && at - CAP >= pin_first && at - CAP < pin_first + pin_count ->
                assert(spare_count > 0);
                d_step {
                    spare_count--; slot = spares[spare_count];
#ifdef GIVE_AWAY
                    /* fault: the pinner is to give it back; one that lost its CAS never does */
                    skip;
#else
                    limbo[limbo_count] = entry[at % CAP]; limbo_at[limbo_count] = at - CAP; limbo_count++;
#endif
                    entry[at % CAP] = slot
                }
#endif
            :: else -> skip
            fi
        :: else -> skip
        fi;
        /* the place is free only once the cursor has passed it */
        seen = cursor;
        if
        :: (seen >= R -> seen - R : seen) + CAP > at ->
            content[entry[at % CAP]] = at + 1;
            tail = at + 1;
            at++
        :: else -> skip
        fi
    od;
    published_all = true;
    /* every slot is in the ring, spare or in limbo */
    assert(CAP + spare_count + limbo_count == SLOTS)
}

init {
    byte s;
    d_step {
        s = 0;
        do
        :: s < CAP -> entry[s] = s; s++
        :: else -> break
        od;
        do
        :: s < SLOTS -> spares[spare_count] = s; spare_count++; s++
        :: else -> break
        od
    }
    atomic { run publisher(); run worker() }
}
