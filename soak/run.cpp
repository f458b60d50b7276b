// SPDX-License-Identifier: Apache-2.0
#include "run.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>

#include <ropeway/dispatcher/dispatcher.hpp>
#include <ropeway/dispatcher/executor.hpp>

#include "commit.hpp"
#include "consumer.hpp"
#include "failure_book.hpp"
#include "flipper.hpp"
#include "memory.hpp"
#include "planted_double_put.hpp"
#include "process_facts.hpp"
#include "sender.hpp"
#include "status_line.hpp"
#include "violation_log.hpp"

namespace ropeway::soak {

namespace {

using steady = std::chrono::steady_clock;

/// Several generated publishers, each on its own thread; a file is one.
constexpr std::uint32_t generated_publishers = 2;
/// A slow consumer's handler sleeps as long for each market event.
constexpr std::chrono::microseconds slow_handler{500};
/// How often the run looks around: failure records, progress, status.
constexpr std::chrono::milliseconds look_around{10};
constexpr std::chrono::seconds drain_deadline{30};
constexpr std::chrono::seconds stop_deadline{10};

[[nodiscard]] std::string numbered(const char* what, std::uint32_t number) {
    return std::string{what} + (number < 10 ? "-0" : "-") + std::to_string(number);
}

/// Everything that lives during a run, in the order in which it is built.
class runner {
  public:
    runner(const scenario& what, std::FILE* status, const std::atomic<bool>& interrupted)
        : what_(what),
          options_(what.wanted),
          publishers_(options_.replay.empty() ? generated_publishers : 1),
          interrupted_(interrupted),
          status_(status),
          dispatcher_(std::make_unique<dispatcher<market_event>>(params())) {
        subscribe_all();
        make_senders();
    }

    /// Runs, stops; what is left to do is threads_after, when this is destroyed.
    void run(run_result& out, run_facts& facts) {
        facts.threads_before = threads_before_;
        const double cpu_before = cpu_seconds();
        start_all();
        const auto began = steady::now();
        while (!over(began)) {
            look(began);
            std::this_thread::sleep_for(look_around);
        }
        look(began);
        end_senders();
        flips_.end();
        memory_.sample(approx_sent());
        drain();
        const stop_report report = dispatcher_->stop(stop_deadline);
        drain_failures();
        facts.cpu_seconds = cpu_seconds() - cpu_before;
        facts.interrupted = interrupted_.load(std::memory_order_relaxed);  // relaxed: a flag
        status_.finish();
        if (what_.planted.what == fault::double_put) {
            plant_double_put();
        }
        collect(out, facts, report);
    }

  private:
    [[nodiscard]] dispatcher_params params() const {
        dispatcher_params out;
        out.name = "soak";
        out.workers.count = options_.effective_workers();
        out.workers.name = "soak-worker";
        if (options_.executor == executor_kind::threads) {
            out.workers.where = make_thread_executor({.name = "soak-worker"});
        }
        out.max_subscriptions = options_.consumers;
        out.max_publishers = publishers_;
        out.guard = options_.guard;
        out.memory = slab_memory();
        // Read every 10 ms, so few wait; a late reader holds a worker back, and loses nothing.
        out.failure_capacity = 4096;
        out.failure_wait = std::chrono::seconds{10};
        return out;
    }

    void subscribe_all() {
        for (std::uint32_t i = 0; i < options_.consumers; ++i) {
            consumer_params mine;
            mine.number = i;
            mine.publishers = publishers_;
            mine.seed = options_.seed;
            mine.throw_percent = i == 0 ? options_.throw_percent : 0.0;
            mine.announced_version = &flips_.announced();
            if (what_.planted.consumer == i) {
                mine.planted = what_.planted;
            }
            const bool slow = i >= options_.consumers - options_.slow;
            const bool in_ring = !slow && i % 5 == 3;
            mine.dawdle = slow ? slow_handler : std::chrono::microseconds{0};
            mine.name = numbered(slow                       ? "slow"
                                 : mine.throw_percent > 0.0 ? "throwing"
                                 : in_ring                  ? "in-place"
                                                            : "plain",
                                 i);
            join(std::make_shared<consumer>(std::move(mine)), slow, in_ring);
        }
    }

    /// The handler keeps its consumer alive, should a stuck worker outlive the run.
    void join(const std::shared_ptr<consumer>& mine, bool slow, bool in_ring) {
        consumers_.push_back(mine);
        book_.add_consumer(mine->name());
        const overflow policy = slow ? overflow::drop_oldest : overflow::block;
        subscription_params wanted;
        if (in_ring) {
            wanted.delivery = in_place;
            subscriptions_.push_back(
                dispatcher_->subscribe(mine->name(), policy, std::move(wanted),
                                       [mine](const market_event& event, const delivery& facts) {
                                           mine->on_event(event, facts);
                                       }));
        } else {
            subscriptions_.push_back(
                dispatcher_->subscribe(mine->name(), policy, std::move(wanted),
                                       [mine](market_event& event, const delivery& facts) {
                                           mine->on_duplicate(event, facts);
                                       }));
        }
    }

    void make_senders() {
        publisher_params rings;
        rings.market_capacity = options_.capacity;
        rings.critical_capacity = options_.capacity;
        for (std::uint32_t p = 0; p < publishers_; ++p) {
            sender_params mine;
            mine.number = p;
            if (options_.events) {
                mine.limit =
                    *options_.events / publishers_ + (p < *options_.events % publishers_ ? 1 : 0);
            }
            // Both ways of publishing: one by one, and in packets.
            mine.packet = p % 2 == 0 && publishers_ > 1 ? 1 : 8;
            mine.keep_a_claim = p == 0 && what_.planted.what == fault::leaked_slot;
            mine.guard = options_.guard;
            senders_.push_back(
                std::make_unique<sender>(dispatcher_->publisher(numbered("feed", p), rings),
                                         make_input(options_, what_.replay, p, publishers_), mine,
                                         dispatcher_->version_source()));
        }
    }

    void start_all() {
        dispatcher_->start();
        flips_.start(*dispatcher_, options_.flips_per_second);
        for (const auto& each : senders_) {
            threads_.emplace_back([&each](const std::stop_token& stop) { each->run(stop); });
        }
    }

    [[nodiscard]] bool over(steady::time_point began) const {
        if (interrupted_.load(std::memory_order_relaxed)) {  // relaxed: a flag, polled
            return true;
        }
        if (std::all_of(senders_.begin(), senders_.end(),
                        [](const auto& each) { return each->finished(); })) {
            return true;
        }
        return seconds_limit() > 0.0 && seconds_since(began) >= seconds_limit();
    }

    /// 0 when events or the replay's end bound the run.
    [[nodiscard]] double seconds_limit() const noexcept {
        const bool bounded = options_.events || !options_.replay.empty();
        return options_.seconds.value_or(bounded ? 0.0 : options::default_seconds);
    }
    [[nodiscard]] static double seconds_since(steady::time_point began) {
        return std::chrono::duration<double>(steady::now() - began).count();
    }
    [[nodiscard]] std::uint64_t approx_sent() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& each : senders_) {
            sum += each->approx_sent();
        }
        return sum;
    }
    [[nodiscard]] double progress(steady::time_point began) const {
        const double by_time = seconds_limit() > 0.0 ? seconds_since(began) / seconds_limit() : 0.0;
        const std::uint64_t events = options_.events ? *options_.events
                                     : what_.replay  ? what_.replay->events
                                                     : 0;
        const double by_events =
            events != 0 ? static_cast<double>(approx_sent()) / static_cast<double>(events) : 0.0;
        return std::clamp(std::max(by_time, by_events), 0.0, 1.0);
    }

    void look(steady::time_point began) {
        drain_failures();
        const auto now = steady::now();
        if (now >= next_sample_) {
            next_sample_ = now + std::chrono::milliseconds{100};
            memory_.sample(approx_sent());
            last_stats_ = dispatcher_->stats();
            peak_pool_use_ = std::max(peak_pool_use_, last_stats_.pool_use());
        }
        if (status_.due(now)) {
            show(began, now);
        }
    }

    void show(steady::time_point began, steady::time_point now) {
        status_facts line;
        line.events = approx_sent();
        line.progress = progress(began);
        const double elapsed = seconds_since(began);
        if (line.progress > 0.01) {
            line.eta_seconds = elapsed * (1.0 - line.progress) / line.progress;
        }
        const double since = std::chrono::duration<double>(now - shown_at_).count();
        line.events_per_second =
            since > 0.0 ? static_cast<double>(line.events - shown_events_) / since : 0.0;
        shown_at_ = now;
        shown_events_ = line.events;
        line.in_flight = last_stats_.duplicates_out;
        for (const publisher_stats& from : last_stats_.publishers) {
            line.in_flight += from.in_rings;
        }
        line.rss_bytes = resident_bytes();
        for (const auto& each : consumers_) {
            line.failures += each->approx_thrown();
        }
        line.violations = violations_.totals().total();
        status_.show(line, now);
    }

    void end_senders() {
        for (std::jthread& each : threads_) {
            each.request_stop();
        }
        threads_.clear();
    }

    /// Waits until consumers took everything: failure records must flow off meanwhile.
    void drain() {
        const auto deadline = steady::now() + drain_deadline;
        for (;;) {
            drain_failures();
            const dispatcher_stats now = dispatcher_->stats();
            const bool empty =
                now.duplicates_out == 0 &&
                std::all_of(now.subscriptions.begin(), now.subscriptions.end(),
                            [](const subscription_stats& each) { return each.lag == 0; });
            if (empty || steady::now() >= deadline) {
                return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }

    void drain_failures() {
        std::array<failure_record, 64> records;
        while (const std::size_t count = dispatcher_->drain_failures(records)) {
            for (std::size_t i = 0; i < count; ++i) {
                book_.enter(records[i]);
            }
        }
    }

    void collect(run_result& out, run_facts& facts, const stop_report& report) {
        std::vector<published_counts> published;
        std::int64_t first_ns = senders_.front()->first_ns();
        std::int64_t last_ns = 0;
        for (const auto& each : senders_) {
            published.push_back(each->books());
            first_ns = std::min(first_ns, each->first_ns());
            last_ns = std::max(last_ns, each->last_ns());
            if (!each->error().empty()) {
                facts.publish_errors.push_back("publisher: " + each->error());
            }
        }
        facts.seconds = static_cast<double>(last_ns - first_ns) / 1e9;
        collect_consumers(out, facts);
        out.result.counts = reconcile(published, out.consumers);
        facts.peak_pool_use = peak_pool_use_;
        collect_report(facts, report);
        out.violations = violations_.texts();
    }

    void collect_consumers(run_result& out, run_facts& facts) {
        auto latency = std::make_unique<histogram>();
        for (std::size_t i = 0; i < consumers_.size(); ++i) {
            consumer_counts books = consumers_[i]->books();
            const subscription_stats told = subscriptions_[i].stats();
            books.filtered = told.consumer.filtered_by_kind;
            books.dropped = told.dropped_by_kind;
            books.starved = told.starved;
            books.dispatcher_done = told.consumer.done;
            books.dispatcher_failed = told.consumer.failed;
            books.records = book_.of(i).count;
            books.records_hash = book_.of(i).hash;
            // How far a slow consumer lags is its own doing; with only slow ones it is all there
            // is.
            if (!books.lossy || options_.slow == options_.consumers) {
                latency->merge(consumers_[i]->latency());
            }
            out.consumers.push_back(std::move(books));
        }
        facts.latency_without_slow = options_.slow != 0 && options_.slow != options_.consumers;
        facts.latency_ns = {latency->percentile(0.5), latency->percentile(0.9),
                            latency->percentile(0.99), latency->percentile(0.999), latency->max()};
    }

    void collect_report(run_facts& facts, const stop_report& report) {
        facts.host = host_facts();
        facts.commit = built_from;
        facts.workers = options_.effective_workers();
        facts.seed = options_.seed;
        facts.flips = flips_.count();
        facts.drained = report.drained && report.undelivered == 0;
        facts.workers_gone = report.workers_gone && report.threads_gone;
        facts.unfinished = report.unfinished;
        facts.slots_outstanding = report.slots_outstanding;
        for (const auto& each : senders_) {
            facts.slots_outstanding += each->partials_out();
        }
        const violation_totals totals = violations_.totals();
        facts.double_puts = totals.double_puts;
        facts.use_after_puts = totals.use_after_puts;
        facts.write_after_puts = totals.write_after_puts;
        facts.other_violations = totals.other;
        facts.failure_records_dropped = dispatcher_->stats().failures_dropped;
        facts.failure_records_unknown = book_.unknown();
        const memory_track::growth grown = memory_.result();
        facts.rss_start_bytes = grown.start_bytes;
        facts.rss_end_bytes = grown.end_bytes;
        facts.rss_events = grown.events;
    }

    const scenario& what_;
    const options& options_;
    const std::uint32_t publishers_;
    const std::atomic<bool>& interrupted_;
    const std::uint64_t threads_before_ = thread_count();
    violation_log violations_;
    memory_track memory_;
    status_line status_;
    flipper flips_;
    std::unique_ptr<dispatcher<market_event>> dispatcher_;
    std::vector<std::shared_ptr<consumer>> consumers_;
    std::vector<subscription> subscriptions_;
    std::vector<std::unique_ptr<sender>> senders_;
    std::vector<std::jthread> threads_;
    // This thread's own.
    failure_book book_;
    steady::time_point next_sample_{};
    dispatcher_stats last_stats_{};
    double peak_pool_use_ = 0.0;
    steady::time_point shown_at_ = steady::now();
    std::uint64_t shown_events_ = 0;
};

}  // namespace

run_result run(const scenario& what, std::FILE* status, const std::atomic<bool>& interrupted) {
    run_result out;
    run_facts facts;
    try {
        runner one{what, status, interrupted};
        one.run(out, facts);
    } catch (const parallelism_error& error) {
        throw usage_error("--workers " + std::to_string(what.wanted.effective_workers()) + ": " +
                          error.what());
    }
    facts.threads_after = threads_when_settled(facts.threads_before);
    out.result = judge(std::move(out.result.counts), facts);
    return out;
}

}  // namespace ropeway::soak
