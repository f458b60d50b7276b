// SPDX-License-Identifier: Apache-2.0
#include <ropeway_test.hpp>

#include <algorithm>

#include "accounting.hpp"
#include "verdict.hpp"

using namespace ropeway::soak;

namespace {

constexpr std::size_t trade = 0;
constexpr std::size_t quote = 1;
constexpr std::size_t report = 6;

/// One publisher: 60 trades, 40 quotes, 5 execution reports.
[[nodiscard]] published_counts published() {
    published_counts out;
    out.by_kind[trade] = 60;
    out.by_kind[quote] = 40;
    out.by_kind[report] = 5;
    out.last = {100, 5};
    return out;
}

/// A consumer that saw all of it.
[[nodiscard]] consumer_counts whole() {
    consumer_counts out;
    out.name = "plain-01";
    out.done[trade] = 60;
    out.done[quote] = 40;
    out.done[report] = 5;
    out.streams.resize(1);
    out.streams[0][0].last = 100;
    out.streams[0][1].last = 5;
    out.dispatcher_done = 105;
    return out;
}

[[nodiscard]] reconciliation with(const consumer_counts& consumer) {
    const published_counts sent = published();
    return reconcile({&sent, 1}, {&consumer, 1});
}

[[nodiscard]] bool says(const reconciliation& r, std::string_view part) {
    return std::any_of(r.failures.begin(), r.failures.end(), [part](const std::string& each) {
        return each.find(part) != std::string::npos;
    });
}

}  // namespace

TEST_CASE("Books that agree give no failure") {
    const consumer_counts all[] = {whole(), whole()};
    const published_counts sent = published();
    const reconciliation r = reconcile({&sent, 1}, all);
    CHECK(r.failures.empty());
    CHECK(r.published == 105);
    CHECK(r.expected == 210);
    CHECK(r.done == 210);
    CHECK(r.critical_expected == 10);
    CHECK(r.critical_done == 10);
    CHECK(r.lost + r.doubled + r.reordered + r.critical_dropped == 0);
}

TEST_CASE("An event that came to no handler is lost") {
    consumer_counts c = whole();
    c.done[trade] = 59;
    c.dispatcher_done = 104;
    c.streams[0][0].missing = 1;
    const reconciliation r = with(c);
    CHECK(r.lost == 1);
    CHECK(says(r, "plain-01: lost 1 (market)"));
    CHECK(says(r, "kind trade: 60 sent, 59 accounted for"));
}

TEST_CASE("An event lost at the very end is lost too") {
    consumer_counts c = whole();
    c.done[report] = 4;
    c.dispatcher_done = 104;
    c.streams[0][1].last = 4;
    const reconciliation r = with(c);
    CHECK(r.lost == 1);
    CHECK(r.critical_done == 4);
    CHECK(says(r, "lost 1 (critical)"));
}

TEST_CASE("An event filtered by its version is accounted for") {
    consumer_counts c = whole();
    c.done[quote] = 33;
    c.filtered[quote] = 7;
    c.dispatcher_done = 98;
    c.streams[0][0].missing = 7;
    const reconciliation r = with(c);
    CHECK(r.failures.empty());
    CHECK(r.filtered == 7);
    CHECK(r.stale_pending == 7);
}

TEST_CASE("A drop that was told in stream is accounted for at a lossy consumer only") {
    consumer_counts c = whole();
    c.lossy = true;
    c.done[trade] = 50;
    c.dropped[trade] = 10;
    c.dispatcher_done = 95;
    c.streams[0][0].missing = 10;
    c.told_lost = 10;
    CHECK(with(c).failures.empty());
    CHECK(with(c).dropped == 10);
    c.lossy = false;
    CHECK(says(with(c), "dropped 10 though its policy is block"));
    c.lossy = true;
    c.told_lost = 9;
    CHECK(says(with(c), "was told in stream of 9 lost, but 10 were dropped"));
}

TEST_CASE("A drop behind the last delivery need not be told") {
    consumer_counts c = whole();
    c.lossy = true;
    c.done[trade] = 50;
    c.dropped[trade] = 10;
    c.dispatcher_done = 95;
    c.streams[0][0].last = 90;
    CHECK(with(c).failures.empty());
}

TEST_CASE("A dispatcher that counts drops which did not happen is found out") {
    consumer_counts c = whole();
    c.lossy = true;
    c.dropped[trade] = 2;
    c.told_lost = 2;
    const reconciliation r = with(c);
    CHECK(says(r, "told of 2 filtered or dropped (market), but only 0 did not come"));
    CHECK(says(r, "kind trade: 60 sent, but 62 accounted for"));
}

TEST_CASE("A loss that starves is not covered by the policy") {
    consumer_counts c = whole();
    c.lossy = true;
    c.done[trade] = 57;
    c.starved = 3;
    c.dispatcher_done = 102;
    c.streams[0][0].missing = 3;
    CHECK(says(with(c), "lost 3 because no duplicate was free"));
}

TEST_CASE("Doubled and reordered events fail with their stream") {
    consumer_counts c = whole();
    c.done[trade] = 61;
    c.dispatcher_done = 106;
    c.streams[0][0].doubled = 1;
    CHECK(with(c).doubled == 1);
    CHECK(says(with(c), "doubled 1 (publisher 0, market)"));
    c = whole();
    c.streams[0][1].reordered = 2;
    CHECK(with(c).reordered == 2);
    CHECK(says(with(c), "reordered 2 (publisher 0, critical)"));
}

TEST_CASE("A critical event that was filtered or dropped fails") {
    consumer_counts c = whole();
    c.done[report] = 4;
    c.filtered[report] = 1;
    c.dispatcher_done = 104;
    c.streams[0][1].missing = 1;
    const reconciliation r = with(c);
    CHECK(r.critical_dropped == 1);
    CHECK(says(r, "kept back 1 critical events"));
}

TEST_CASE("Handlers that threw need a record each, for the same events") {
    consumer_counts c = whole();
    c.done[trade] = 58;
    c.failed[trade] = 2;
    c.dispatcher_done = 103;
    c.dispatcher_failed = 2;
    c.records = 2;
    c.thrown_hash = c.records_hash = 77;
    CHECK(with(c).failures.empty());
    CHECK(with(c).failed == 2);
    c.records = 1;
    CHECK(says(with(c), "threw 2 times, 1 failure records"));
    c.records = 2;
    c.records_hash = 78;
    CHECK(says(with(c), "but for other events"));
}

TEST_CASE("Wrong payloads, labels and counts of the dispatcher fail") {
    consumer_counts c = whole();
    c.corrupt = 1;
    CHECK(says(with(c), "1 events came with a wrong checksum"));
    c = whole();
    c.mislabelled = 3;
    CHECK(says(with(c), "3 deliveries with a wrong sequence"));
    c = whole();
    c.dispatcher_done = 104;
    CHECK(says(with(c), "the dispatcher counted 104 done"));
    c = whole();
    c.told_wrong = 1;
    CHECK(says(with(c), "1 deliveries told of losses that were none"));
    c = whole();
    c.streams[0][0].last = 101;
    CHECK(says(with(c), "saw counter 101 though only 100 were sent"));
}

TEST_CASE("Stale handler calls are allowed up to the race at each flip, then below 5 percent") {
    CHECK(stale_allowed(0, 0, 0, 2));
    CHECK(stale_allowed(20, 20, 10, 2));
    CHECK_FALSE(stale_allowed(21, 21, 10, 2));
    CHECK(stale_allowed(49, 1000, 10, 2));
    CHECK_FALSE(stale_allowed(50, 1000, 10, 2));
}

TEST_CASE("Numbers are grouped by thousands") {
    CHECK(grouped(0) == "0");
    CHECK(grouped(999) == "999");
    CHECK(grouped(1000) == "1,000");
    CHECK(grouped(1234567890) == "1,234,567,890");
}
