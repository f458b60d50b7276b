// SPDX-License-Identifier: Apache-2.0
//
// Flags on leased slots: the I/O thread says that it flags (flagging), has every processor drain its
// store buffer, and puts the flag on the slot's word by CAS; a holder looks for flagging, returns by
// a plain store if there was none (which overwrites a flag that came in between) or by CAS if there
// was, and looks again behind a plain store: then it says that a flag may be lost. Each order must be
// carried out: the lease that was flagged ends as retired, by its own CAS or because the I/O thread
// hears of the lost flag. The slot is lent twice, flagged once or twice, by an order each; flagging
// ends when no flag is open.
//
// Planted faults (-D...): NO_BARRIER (the I/O thread flags without a barrier), NO_SECOND_LOOK (the
// holder does not look behind its store), FORGETS_EARLY (flagging ends though the end of a flagged
// lease is not known), LATE_WORD (the holder says that a flag may be lost without saying of which
// lease).

#define LEASES 3

byte generation = 1;           /* of the word, as everybody but the holder sees it */
bool leased = true;
bool flag = false;             /* of the word */
bool flagging = false;
bool buffered = false;         /* the holder's plain store: idle, no flag, next generation */
byte retired = 0;              /* leases that ended as retired, or were retired when idle */
byte orders = 0;               /* flags put on */
byte flagged = 0;              /* the I/O thread's: generation of the open flag; 0: none */
chan missed = [LEASES] of { byte };
chan returning = [LEASES] of { byte };
bool over = false;

inline drain() {
    if
    :: buffered -> leased = false; flag = false; generation++; buffered = false
    :: else -> skip
    fi
}

proctype holder() {
    byte mine = 1;
    bool seen = false, had = false;
    do
    :: mine <= LEASES ->
        /* has lease number `mine` */
        atomic { had = flag; seen = flagging };
        if
        :: seen || had ->
            /* one CAS, which drains the buffer and sees the flag */
            atomic {
                assert(leased && generation == mine && !buffered);
                had = flag;
                leased = false; flag = false; generation++;
                if :: had -> returning!mine :: else -> skip fi
            }
        :: else ->
            buffered = true;
#ifndef NO_SECOND_LOOK
            seen = flagging;
            if
            :: seen ->
#ifdef LATE_WORD
                atomic { drain() }; missed!generation
#else
                atomic { drain() }; missed!mine      /* what it wrote before is seen by who reads it */
#endif
            :: else -> skip
            fi;
#endif
            atomic { drain() }
        fi;
        /* the next lease of the slot: a CAS by whoever takes it */
        atomic { mine++; if :: mine <= LEASES -> leased = true :: else -> skip fi };
        had = false
    :: else -> break
    od;
    over = true
}

/* What is told is heard. */
inline listen() {
    do
    :: returning?heard -> atomic { retired++; assert(flagged == heard); flagged = 0 }
    :: missed?heard ->
        atomic {
            if
            :: flagged == heard -> flagged = 0; retired++   /* retired anew: idle, or the next lease */
            :: else -> skip                                  /* it had no flag */
            fi
        }
    :: empty(returning) && empty(missed) -> break
    od
}

proctype io() {
    byte heard = 0, at = 0;
    bool put = false;
    do
    :: orders < 2 && flagged == 0 ->
        flagging = true;
#ifndef NO_BARRIER
        atomic { drain() };
#endif
        at = generation;
        atomic {
            put = leased && generation == at;
            if :: put -> flag = true; flagged = at; orders++ :: else -> skip fi
        };
        if
        :: put -> skip
        :: else -> flagging = false
        fi
#ifdef FORGETS_EARLY
        ; flagging = false
#endif
    :: nempty(returning) || nempty(missed) ->
        listen();
        if :: flagged == 0 -> flagging = false :: else -> skip fi
    :: over && empty(returning) && empty(missed) -> break
    od;
    assert(flagged == 0);
    assert(retired == orders)
}

init { atomic { run holder(); run io() } }
