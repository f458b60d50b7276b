// SPDX-License-Identifier: Apache-2.0
//
// What must come of a run, told without rings, workers or time: per publisher the list of what it
// published, per consumer what it may get, must get, and has got. Plain containers, one simulated
// thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>
#include <ropeway/dispatcher/simulation.hpp>

namespace ropeway_test {

/// An event whose fields tell whether they belong together.
struct ride {
    ropeway::event_kind kind = ropeway::event_kind::trade;
    std::uint32_t instrument = 0;
    std::uint64_t routing_version = 0;
    std::uint64_t id = 0;
    std::uint64_t before = 0;  ///< older events of its key that were folded into it
    std::uint64_t check = 0;

    [[nodiscard]] std::uint64_t sum() const noexcept {
        return (id * 31 + instrument) * 31 + static_cast<std::uint64_t>(kind) + ~routing_version;
    }
};

}  // namespace ropeway_test

template <>
struct ropeway::event_traits<ropeway_test::ride> : ropeway::event_traits_base<ropeway_test::ride> {
    [[nodiscard]] static constexpr bool conflatable(std::uint32_t kind) noexcept {
        return kind == static_cast<std::uint32_t>(ropeway::event_kind::quote);
    }
    static constexpr void fold(ropeway_test::ride& older,
                               const ropeway_test::ride& newer) noexcept {
        const std::uint64_t count = older.before + newer.before + 1;
        older = newer;
        older.before = count;
    }
};

namespace ropeway_test {

namespace simulation = ropeway::simulation;

/// Two that threads publish to, and one that a handler does.
constexpr std::size_t most_feeds = 3;
constexpr std::size_t echo_feed = most_feeds - 1;
constexpr std::uint64_t not_yet = ~std::uint64_t{0};

/// One publisher's history. Sequence s lies at [s - 1].
struct feed_model {
    struct entry {
        ride event{};
        bool critical = false;
    };
    std::vector<entry> entries{};
    std::uint64_t committed = 0;  ///< sequence: its publish has returned

    [[nodiscard]] const entry& at(std::uint64_t sequence) const { return entries[sequence - 1]; }
};

using feed_models = std::array<feed_model, most_feeds>;

/// What a consumer wanted from one change to the next.
struct wish {
    ropeway::kind_set kinds{};
    std::vector<std::uint32_t> instruments{};
    /// By publisher: no event with a higher sequence is held against it.
    std::array<std::uint64_t, most_feeds> until{not_yet, not_yet, not_yet};

    [[nodiscard]] bool wants(const ride& event) const {
        return kinds.contains(event.kind) && (instruments.empty() || event.instrument == 0 ||
                                              std::find(instruments.begin(), instruments.end(),
                                                        event.instrument) != instruments.end());
    }
};

/// One consumer, and every delivery it has had.
class consumer_model {
  public:
    consumer_model(const feed_models& feeds, std::string name, ropeway::overflow policy,
                   ropeway::event_order order, wish first)
        : feeds_(feeds), name_(std::move(name)), order_(order), wishes_{std::move(first)} {
        uses(policy);
    }

    // What is done to it.
    void uses(ropeway::overflow policy) {
        lossy_ |= policy != ropeway::overflow::block;
        conflates_ |= policy == ropeway::overflow::conflate;
        drops_ |= policy != ropeway::overflow::conflate;
        disconnects_ |= policy == ropeway::overflow::disconnect;
    }
    /// It may be in quarantine, and lose market data.
    void may_rest() { lossy_ = rests_ = true; }
    void will_want(wish next) { wishes_.push_back(std::move(next)); }
    /// The change has returned: what is published from now on is held against the last wish.
    void wants_now() {
        for (std::size_t feed = 0; feed < most_feeds; ++feed) {
            for (std::size_t i = 0; i + 1 < wishes_.size(); ++i) {
                wishes_[i].until[feed] =
                    std::min<std::uint64_t>(wishes_[i].until[feed], feeds_[feed].entries.size());
            }
        }
    }
    void starts_at(std::size_t feed, std::uint64_t sequence) { first_[feed] = sequence; }
    /// From here on nothing older is handled.
    void floor(std::uint64_t version) { floor_ = std::max(floor_, version); }
    void ends() { ended_ = true; }

    /// A delivery: checked against all that is known.
    void takes(const ride& event, const ropeway::delivery& facts) {
        const auto expect = [&](bool holds, const char* what) {
            if (!holds) {
                simulation::fail(name_ + ": " + what + ", sequence " +
                                 std::to_string(facts.sequence) + " of publisher " +
                                 std::to_string(facts.publisher));
            }
        };
        expect(!ended_, "a delivery after its end");
        const std::size_t feed = facts.publisher;
        expect(feed < most_feeds, "an unknown publisher");
        expect(facts.sequence != 0 && facts.sequence <= feeds_[feed].entries.size(),
               "an event that was not published");
        const feed_model::entry& sent = feeds_[feed].at(facts.sequence);
        expect(event.check == event.sum(), "a torn event");
        expect(event.id == sent.event.id && event.sum() == sent.event.sum(), "another event");
        expect(may_want(feed, facts.sequence), "an event that it does not want");
        expect(sent.critical || event.routing_version >= floor_, "a stale event");
        expect(event.before == 0 || conflates_, "a folded event");
        place& at = places_[feed];
        expect(at.got.size() < facts.sequence || at.got[facts.sequence - 1] == 0, "an event twice");
        std::uint64_t& last = at.last[sent.critical ? 1 : 0];
        expect(facts.sequence > last, "an event out of order");
        for (std::uint64_t s = last + 1; !sent.critical && s < facts.sequence; ++s) {
            at.missing += !feeds_[feed].at(s).critical && may_want(feed, s) ? 1U : 0U;
        }
        if (order_ == ropeway::event_order::in_sequence) {
            expect(facts.sequence > std::max(at.last[0], at.last[1]), "an event out of sequence");
        }
        last = facts.sequence;
        at.got.resize(std::max<std::size_t>(at.got.size(), facts.sequence));
        at.got[facts.sequence - 1] = 1;
        ++handled_;
        folded_ += event.before;
        told_lost_ += facts.lost_before;
        told_conflated_ += facts.conflated_before;
        at.told += facts.lost_before;
        // Of those that a fold or a full table took it is told as soon as it is known, and they may
        // come later in the stream.
        expect(conflates_ || at.told <= at.missing, "told of more losses than there are");
        expect(facts.lost_before == 0 || lossy_, "losses, and it blocks");
    }

    /// Whether it is done with an event, as far as it can be known: delivered, or not to be.
    [[nodiscard]] bool past(std::size_t feed, std::uint64_t sequence, std::uint64_t version) const {
        const feed_model::entry& sent = feeds_[feed].at(sequence);
        const place& at = places_[feed];
        return sequence < first_[feed] || has(feed, sequence) || !surely_wants(feed, sequence) ||
               (!sent.critical &&
                (lossy_ || sent.event.routing_version < version || at.last[0] > sequence));
    }
    [[nodiscard]] bool has(std::size_t feed, std::uint64_t sequence) const {
        const place& at = places_[feed];
        return sequence <= at.got.size() && at.got[sequence - 1] != 0;
    }

    /// Everything up to these sequences must have come, unless it was stale by `version` or could
    /// be lost. `told`: critical events that a stop said are undelivered, by sequence.
    void check_complete(const std::array<std::uint64_t, most_feeds>& upto, std::uint64_t version,
                        const std::map<std::pair<std::size_t, std::uint64_t>, int>& told,
                        bool all_market) const {
        for (std::size_t feed = 0; feed < most_feeds; ++feed) {
            for (std::uint64_t s = first_[feed]; s <= upto[feed]; ++s) {
                const feed_model::entry& sent = feeds_[feed].at(s);
                if (!surely_wants(feed, s)) {
                    continue;
                }
                const auto found = told.find({feed, s});
                const int left = found == told.end() ? 0 : found->second;
                if (sent.critical) {
                    expect_at_end((has(feed, s) ? 1 : 0) + left == 1,
                                  "a critical event neither handled nor told, or both", feed, s);
                } else if (all_market && !lossy_ && sent.event.routing_version >= version) {
                    expect_at_end(has(feed, s), "market data lost, and it blocks", feed, s);
                }
            }
        }
    }
    /// The latest quote of each key up to these sequences survives conflation, or a later one does.
    void check_latest(const std::array<std::uint64_t, most_feeds>& upto,
                      std::uint64_t version) const {
        for (std::size_t feed = 0; feed < most_feeds; ++feed) {
            std::map<std::uint32_t, std::uint64_t> latest;
            for (std::uint64_t s = first_[feed]; s <= upto[feed]; ++s) {
                const feed_model::entry& sent = feeds_[feed].at(s);
                if (sent.event.kind == ropeway::event_kind::quote && surely_wants(feed, s)) {
                    latest[sent.event.instrument] = s;
                }
            }
            for (const auto& [instrument, s] : latest) {
                expect_at_end(feeds_[feed].at(s).event.routing_version < version ||
                                  has_from(feed, s, instrument),
                              "the latest event of a key is lost", feed, s);
            }
        }
    }
    /// Of one that lived from before the first event to the end and never changed its wish.
    void check_counts(const ropeway::subscription_stats& stats) const {
        std::uint64_t wanted = 0;
        for (std::size_t feed = 0; feed < most_feeds; ++feed) {
            for (std::uint64_t s = 1; s <= feeds_[feed].entries.size(); ++s) {
                wanted += surely_wants(feed, s) ? 1U : 0U;
            }
        }
        const std::uint64_t known = stats.consumer.done + stats.consumer.failed +
                                    stats.consumer.filtered + stats.dropped + stats.conflated;
        const std::string counts =
            ": wanted " + std::to_string(wanted) + ", done " + std::to_string(stats.consumer.done) +
            ", failed " + std::to_string(stats.consumer.failed) + ", filtered " +
            std::to_string(stats.consumer.filtered) + ", dropped " + std::to_string(stats.dropped) +
            ", conflated " + std::to_string(stats.conflated);
        simulation::check(handled_ == stats.consumer.done + stats.consumer.failed,
                          name_ + ": handled " + std::to_string(handled_) + counts);
        simulation::check(wanted == known, name_ + ": counts do not add up" + counts);
        simulation::check(told_lost_ <= stats.dropped && told_conflated_ <= stats.conflated &&
                              folded_ <= stats.conflated,
                          name_ + ": told of more than was lost" + counts);
    }
    [[nodiscard]] bool changed() const { return wishes_.size() > 1; }
    [[nodiscard]] bool conflates() const { return conflates_; }
    [[nodiscard]] bool drops() const { return drops_; }
    [[nodiscard]] bool rests() const { return rests_; }
    [[nodiscard]] bool disconnects() const { return disconnects_; }
    [[nodiscard]] bool from_start() const {
        return std::all_of(first_.begin(), first_.end(), [](auto s) { return s == 1; });
    }
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const wish& now() const { return wishes_.back(); }

  private:
    struct place {
        std::vector<std::uint8_t> got{};
        std::array<std::uint64_t, 2> last{};  ///< market, critical
        std::uint64_t missing = 0;  ///< market data before the last that it may have wanted
        std::uint64_t told = 0;
    };

    void expect_at_end(bool holds, const char* what, std::size_t feed, std::uint64_t s) const {
        if (!holds) {
            simulation::fail(name_ + ": " + what + ", sequence " + std::to_string(s) +
                             " of publisher " + std::to_string(feed));
        }
    }
    /// That quote of an instrument, or a later one.
    [[nodiscard]] bool has_from(std::size_t feed, std::uint64_t sequence,
                                std::uint32_t instrument) const {
        for (std::uint64_t s = sequence; s <= places_[feed].got.size(); ++s) {
            const ride& event = feeds_[feed].at(s).event;
            if (has(feed, s) && event.kind == ropeway::event_kind::quote &&
                event.instrument == instrument) {
                return true;
            }
        }
        return false;
    }
    [[nodiscard]] bool may_want(std::size_t feed, std::uint64_t sequence) const {
        return std::any_of(wishes_.begin(), wishes_.end(), [&](const wish& one) {
            return sequence <= one.until[feed] && one.wants(feeds_[feed].at(sequence).event);
        });
    }
    [[nodiscard]] bool surely_wants(std::size_t feed, std::uint64_t sequence) const {
        return std::all_of(wishes_.begin(), wishes_.end(), [&](const wish& one) {
            return sequence > one.until[feed] || one.wants(feeds_[feed].at(sequence).event);
        });
    }

    const feed_models& feeds_;
    std::string name_;
    ropeway::event_order order_;
    std::vector<wish> wishes_;
    bool lossy_ = false;
    bool conflates_ = false;
    bool drops_ = false;  ///< ever anything but conflates
    bool disconnects_ = false;
    bool rests_ = false;
    bool ended_ = false;
    std::uint64_t floor_ = 0;
    std::array<std::uint64_t, most_feeds> first_{1, 1, 1};
    std::array<place, most_feeds> places_{};
    std::uint64_t handled_ = 0;
    std::uint64_t folded_ = 0;
    std::uint64_t told_lost_ = 0;
    std::uint64_t told_conflated_ = 0;
};

}  // namespace ropeway_test
