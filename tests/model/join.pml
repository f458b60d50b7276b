// SPDX-License-Identifier: Apache-2.0
//
// A blocking subscription joins a ring while its publisher laps it. The publisher's store of the tail
// sits in a store buffer until a fence or by itself. From its stated start on the subscription must
// find every event unharmed.
//
// Planted faults (-D...): NO_FENCE, START_LATE, IGNORE_JOIN.

#define CAP 2
#define EVENTS 6
#define JOIN 15
#define CLOSED 14

byte tail = 0, buffered = 0;
byte cursor = CLOSED;
bool live = false;
byte content[CAP];
bool published_all = false;

proctype publisher() {
    byte limit = CAP, low, word;
    do
    :: buffered == EVENTS -> break
    :: else ->
        if
        :: buffered >= limit ->
#ifndef NO_FENCE
            tail = buffered;
#endif
            low = buffered;
            if
            :: live ->
                word = cursor;
#ifndef IGNORE_JOIN
                if
                :: word == JOIN ->
                    atomic {
                        if
                        :: cursor == JOIN -> cursor = buffered
                        :: else -> skip
                        fi;
                        word = cursor
                    }
                :: else -> skip
                fi;
#endif
                if
                :: word < low -> low = word
                :: else -> skip
                fi
            :: else -> skip
            fi;
            limit = low + CAP
        :: else -> skip
        fi;
        if
        :: buffered < limit ->
            content[buffered % CAP] = buffered + 1;
            buffered++
        :: else -> skip
        fi
    od;
    published_all = true
}

proctype drain() {
    do
    :: atomic { tail != buffered -> tail = buffered }
    :: atomic { published_all && tail == EVENTS -> break }
    od
}

proctype subscriber() {
    byte start, at;
    cursor = JOIN;
    live = true;           /* an exchange, and a fence: nothing of ours is buffered */
    start = tail;
#ifdef START_LATE
    cursor = start;
#else
    atomic {
        if
        :: cursor == JOIN -> cursor = start
        :: else -> skip
        fi
    };
#endif
    do
    :: published_all && cursor == EVENTS -> break
    :: cursor < tail ->
        at = cursor;
        assert(content[at % CAP] == at + 1);
        assert(content[at % CAP] == at + 1);   /* and still, at the end of the copy */
        cursor = at + 1
    od
}

init { atomic { run publisher(); run drain(); run subscriber() } }
