// SPDX-License-Identifier: Apache-2.0
#include "accounting.hpp"

#include <numeric>
#include <string_view>

#include <ropeway/pool/event_kind.hpp>

namespace ropeway::soak {

namespace {

[[nodiscard]] std::uint64_t sum(const kind_counts& counts) noexcept {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

[[nodiscard]] bool critical_place(std::size_t place) noexcept {
    return is_critical(static_cast<event_kind>(place));
}

[[nodiscard]] std::uint64_t sum_of(const kind_counts& counts, stream_class c) noexcept {
    std::uint64_t out = 0;
    for (std::size_t k = 0; k < counts.size(); ++k) {
        if (critical_place(k) == (c == stream_class::critical)) {
            out += counts[k];
        }
    }
    return out;
}

[[nodiscard]] std::string_view name_of(stream_class c) noexcept {
    return c == stream_class::market ? "market" : "critical";
}

/// One consumer against the publishers.
class one_consumer {
  public:
    one_consumer(std::span<const published_counts> publishers, const consumer_counts& consumer,
                 reconciliation& out)
        : publishers_(publishers), consumer_(consumer), out_(out) {}

    void run() {
        out_.done += sum(consumer_.done);
        out_.failed += sum(consumer_.failed);
        out_.filtered += sum(consumer_.filtered);
        out_.dropped += sum(consumer_.dropped) + consumer_.starved;
        out_.stale_done += consumer_.stale_done;
        out_.stale_pending += consumer_.stale_done + sum(consumer_.filtered);
        check_stream(stream_class::market);
        check_stream(stream_class::critical);
        check_kinds();
        check_losses();
        check_handler_facts();
    }

  private:
    void fail(const std::string& text) { out_.failures.push_back(consumer_.name + ": " + text); }

    /// Gaps in the counters that the handler saw must be what the dispatcher says it kept back.
    void check_stream(stream_class c) {
        const std::size_t at = index_of(c);
        std::uint64_t gap = 0;
        std::uint64_t handled = 0;
        for (std::size_t p = 0; p < publishers_.size(); ++p) {
            const stream_counts& seen = consumer_.streams[p][at];
            const std::uint64_t sent = publishers_[p].last[at];
            const std::string where =
                "publisher " + std::to_string(p) + ", " + std::string{name_of(c)};
            if (seen.last > sent) {
                fail("saw counter " + grouped(seen.last) + " though only " + grouped(sent) +
                     " were sent (" + where + ")");
            } else {
                gap += sent - seen.last;
            }
            gap += seen.missing;
            handled += seen.last - seen.missing;
            count_disorder(seen, where);
        }
        const std::uint64_t kept = sum_of(consumer_.filtered, c) + sum_of(consumer_.dropped, c) +
                                   (c == stream_class::market ? consumer_.starved : 0);
        if (gap > kept) {
            out_.lost += gap - kept;
            fail("lost " + grouped(gap - kept) + " (" + std::string{name_of(c)} + "): " +
                 grouped(gap) + " did not come, " + grouped(kept) + " of them filtered or dropped");
        } else if (kept > gap) {
            fail("told of " + grouped(kept) + " filtered or dropped (" + std::string{name_of(c)} +
                 "), but only " + grouped(gap) + " did not come");
        }
        if (c == stream_class::critical) {
            out_.critical_done += handled;
            count_critical_kept(kept);
        }
    }

    void count_disorder(const stream_counts& seen, const std::string& where) {
        out_.doubled += seen.doubled;
        out_.reordered += seen.reordered;
        if (seen.doubled != 0) {
            fail("doubled " + grouped(seen.doubled) + " (" + where + ")");
        }
        if (seen.reordered != 0) {
            fail("reordered " + grouped(seen.reordered) + " (" + where + ")");
        }
    }

    void count_critical_kept(std::uint64_t kept) {
        out_.critical_dropped += kept;
        if (kept != 0) {
            fail("kept back " + grouped(kept) + " critical events (dropped or filtered)");
        }
    }

    /// The same balance for each kind, from the handler's counts per kind.
    void check_kinds() {
        std::uint64_t doubled = 0;
        for (const auto& streams : consumer_.streams) {
            doubled += streams[0].doubled + streams[1].doubled;
        }
        for (std::size_t k = 0; k < max_event_kinds; ++k) {
            std::uint64_t sent = 0;
            for (const published_counts& each : publishers_) {
                sent += each.by_kind[k];
            }
            const std::uint64_t seen = consumer_.done[k] + consumer_.failed[k] +
                                       consumer_.filtered[k] + consumer_.dropped[k];
            // A doubled event is told apart by its counter; here it only may exceed.
            if (seen < sent && sent - seen > consumer_.starved) {
                fail("kind " + std::string{to_string(static_cast<event_kind>(k))} + ": " +
                     grouped(sent) + " sent, " + grouped(seen) + " accounted for");
            } else if (seen > sent && seen - sent > doubled) {
                fail("kind " + std::string{to_string(static_cast<event_kind>(k))} + ": " +
                     grouped(sent) + " sent, but " + grouped(seen) + " accounted for");
            }
        }
    }

    /// Only a lossy consumer may lose, and each loss is told to it in stream, before the next event
    /// of that publisher: what is untold lies behind the last one.
    void check_losses() {
        const std::uint64_t dropped = sum(consumer_.dropped);
        if (!consumer_.lossy && dropped != 0) {
            fail("dropped " + grouped(dropped) + " though its policy is block");
        }
        if (consumer_.starved != 0) {
            fail("lost " + grouped(consumer_.starved) + " because no duplicate was free");
        }
        std::uint64_t behind = 0;
        for (std::size_t p = 0; p < publishers_.size(); ++p) {
            const std::uint64_t sent = publishers_[p].last[0];
            const std::uint64_t last = consumer_.streams[p][0].last;
            behind += sent > last ? sent - last : 0;
        }
        if (consumer_.told_lost > dropped || dropped - consumer_.told_lost > behind) {
            fail("was told in stream of " + grouped(consumer_.told_lost) + " lost, but " +
                 grouped(dropped) + " were dropped");
        }
        if (consumer_.told_wrong != 0) {
            fail(grouped(consumer_.told_wrong) + " deliveries told of losses that were none");
        }
    }

    void check_handler_facts() {
        if (consumer_.corrupt != 0) {
            fail(grouped(consumer_.corrupt) + " events came with a wrong checksum");
        }
        if (consumer_.mislabelled != 0) {
            fail(grouped(consumer_.mislabelled) +
                 " deliveries with a wrong sequence or publisher number");
        }
        const std::uint64_t done = sum(consumer_.done);
        const std::uint64_t failed = sum(consumer_.failed);
        if (consumer_.dispatcher_done != done || consumer_.dispatcher_failed != failed) {
            fail("the dispatcher counted " + grouped(consumer_.dispatcher_done) + " done and " +
                 grouped(consumer_.dispatcher_failed) + " failed, the handler " + grouped(done) +
                 " and " + grouped(failed));
        }
        if (consumer_.records != failed || consumer_.records_hash != consumer_.thrown_hash) {
            fail("threw " + grouped(failed) + " times, " + grouped(consumer_.records) +
                 " failure records" +
                 (consumer_.records == failed ? ", but for other events" : ""));
        }
    }

    std::span<const published_counts> publishers_;
    const consumer_counts& consumer_;
    reconciliation& out_;
};

}  // namespace

std::uint64_t published_counts::total() const noexcept { return sum(by_kind); }

reconciliation reconcile(std::span<const published_counts> publishers,
                         std::span<const consumer_counts> consumers) {
    reconciliation out;
    std::uint64_t critical_sent = 0;
    for (std::size_t p = 0; p < publishers.size(); ++p) {
        const published_counts& each = publishers[p];
        out.published += each.total();
        critical_sent += sum_of(each.by_kind, stream_class::critical);
        for (const stream_class c : {stream_class::market, stream_class::critical}) {
            if (sum_of(each.by_kind, c) != each.last[index_of(c)]) {
                out.failures.push_back("publisher " + std::to_string(p) +
                                       ": kinds and counters of its own books differ");
            }
        }
    }
    out.expected = out.published * consumers.size();
    out.critical_expected = critical_sent * consumers.size();
    for (const consumer_counts& each : consumers) {
        one_consumer{publishers, each, out}.run();
    }
    return out;
}

bool stale_allowed(std::uint64_t stale_done, std::uint64_t stale_pending, std::uint64_t flips,
                   std::uint64_t workers) noexcept {
    return stale_done <= flips * workers || stale_done * 20 < stale_pending;
}

std::string grouped(std::uint64_t value) {
    std::string text = std::to_string(value);
    for (std::size_t at = text.size(); at > 3;) {
        at -= 3;
        text.insert(at, 1, ',');
    }
    return text;
}

}  // namespace ropeway::soak
