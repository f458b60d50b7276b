// SPDX-License-Identifier: Apache-2.0
#include "fault_test.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <sstream>

namespace ropeway_test {

void seen_events::add(const ropeway::resource_event& event) {
    seen_event one{.kind = event.kind,
                   .resource = event.resource,
                   .count = event.count,
                   .limit = event.limit,
                   .lasted = event.lasted,
                   .reason = event.reason,
                   .state = {event.from_state, event.to_state},
                   .liveness = {event.from_liveness, event.to_liveness},
                   .at = steady::now()};
    if (event.error != nullptr) {
        one.error = event.error->kind;
        one.code = event.error->code_text();
        one.text = event.error->text;
    }
    const std::lock_guard held{guard_};
    events_.push_back(std::move(one));
}

std::vector<seen_event> seen_events::all() const {
    const std::lock_guard held{guard_};
    return events_;
}

std::vector<seen_event> seen_events::of(resource_event_kind kind) const {
    std::vector<seen_event> some = all();
    std::erase_if(some, [kind](const seen_event& one) { return one.kind != kind; });
    return some;
}

std::size_t seen_events::closed(close_reason reason) const {
    const auto some = of(resource_event_kind::closed);
    return static_cast<std::size_t>(
        std::count_if(some.begin(), some.end(),
                      [reason](const seen_event& one) { return one.reason == reason; }));
}

bool seen_events::wait_for(resource_event_kind kind, std::size_t times,
                           std::chrono::milliseconds limit) const {
    return wait_until([&] { return count(kind) >= times; }, limit);
}

std::string seen_events::text() const {
    std::ostringstream out;
    const auto some = all();
    for (const seen_event& one : some) {
        out << in_ms(one.at - some.front().at) << " ms: " << static_cast<int>(one.kind)
            << " resource " << one.resource << " count " << one.count << " limit " << one.limit
            << " lasted " << in_ms(one.lasted) << " ms";
        switch (one.kind) {
            case resource_event_kind::closed: out << ' ' << to_string(one.reason); break;
            case resource_event_kind::state_changed:
                out << ' ' << to_string(one.state.first) << " -> " << to_string(one.state.second);
                break;
            case resource_event_kind::liveness_changed:
                out << ' ' << to_string(one.liveness.first) << " -> "
                    << to_string(one.liveness.second);
                break;
            default: break;
        }
        if (one.error != resource_error_kind::none) {
            out << " (" << to_string(one.error) << ' ' << one.code << ' ' << one.text << ')';
        }
        out << '\n';
    }
    return out.str();
}

void seen_events::clear() {
    const std::lock_guard held{guard_};
    events_.clear();
}

void log_lines::add(std::string_view line) {
    const std::lock_guard held{guard_};
    lines_ += line;
    lines_ += '\n';
}

bool log_lines::has(std::string_view text) const {
    const std::lock_guard held{guard_};
    return lines_.find(text) != std::string::npos;
}

bool log_lines::wait_for(std::string_view text, std::chrono::milliseconds limit) const {
    return wait_until([&] { return has(text); }, limit);
}

std::string log_lines::text() const {
    const std::lock_guard held{guard_};
    return lines_;
}

rig::rig(const rig_params& how) : descriptors_before_(open_descriptors()) {
    ropeway::logging_params logging;
    logging.callback = [to = log_](ropeway::log_level, std::string_view line) { to->add(line); };
    logging.level = ropeway::log_level::debug;
    logging.rate_burst = 100'000;
    logging.queue_capacity = 65'536;
    logger_ = std::make_unique<ropeway::logger>(std::move(logging));
    ropeway::postgres::postgres_params connection{.url = how.url};
    if (how.connection) {
        how.connection(connection);
    }
    settings_ = std::make_shared<ropeway::postgres::settings>(std::move(connection));
    ropeway::resource_pool_params params;
    params.name = "faults";
    params.min_size = how.min_size;
    params.max_size = how.max_size;
    params.observer = [seen = seen_](const ropeway::resource_event& event) { seen->add(event); };
    if (how.pool) {
        how.pool(params);
    }
    params.observer = ropeway::pool_log{*logger_, params};
    pool_ = std::make_unique<pg_pool>(ropeway::postgres::make_connections(settings_),
                                      std::move(params));
}

void rig::start() {
    const auto failed = pool_->start();
    INFO((failed ? failed->text() : std::string{}));
    REQUIRE_FALSE(failed.has_value());
}

bool rig::say_unless(bool came_true) const {
    if (!came_true) {
        const auto now = pool_->snapshot();
        UNSCOPED_INFO("idle " << now.idle << " active " << now.active << " opening " << now.opening
                              << " closing " << now.closing << " quarantined " << now.quarantined
                              << '\n'
                              << seen_->text());
    }
    return came_true;
}

bool rig::wait_idle(std::uint32_t count, std::chrono::milliseconds limit) {
    return say_unless(wait_until(
        [&] {
            const auto now = pool_->snapshot();
            return now.idle == count && now.active == 0 && now.opening == 0 && now.closing == 0;
        },
        limit));
}

bool rig::wait_calm(std::uint32_t least, std::chrono::milliseconds limit) {
    return say_unless(wait_until(
        [&] {
            const auto now = pool_->snapshot();
            return now.idle >= least && now.active == 0 && now.opening == 0 && now.closing == 0;
        },
        limit));
}

bool rig::wait_total(std::uint32_t least, std::chrono::milliseconds limit) {
    return wait_until([&] { return pool_->snapshot().total >= least; }, limit);
}

void rig::check_books() {
    const auto now = pool_->snapshot();
    CHECK(now.total == 0);
    CHECK(now.opening == 0);
    CHECK(now.closing == 0);
    CHECK(now.waiting == 0);
    CHECK(now.acquired == now.released);
    // Which closed ones had been open: all but those whose opening failed.
    const auto closed = std::accumulate(now.closed.begin(), now.closed.end(), std::uint64_t{0}) -
                        now.closed[static_cast<std::size_t>(close_reason::failed_open)];
    CHECK(closed == now.opened);
    CHECK(seen_->count(resource_event_kind::opened) == now.opened);
    // A lease that a shutdown forced has an event of its own.
    CHECK(seen_->count(resource_event_kind::closed) +
              seen_->count(resource_event_kind::shutdown_forced) >=
          closed);
    for (std::size_t i = 0; i < ropeway::close_reasons; ++i) {
        const auto reason = static_cast<close_reason>(i);
        INFO(to_string(reason));
        CHECK((reason == close_reason::forced ? seen_->count(resource_event_kind::shutdown_forced)
                                              : seen_->closed(reason)) == now.closed[i]);
    }
    // Each change of state goes on from the one before: none is told twice, none is left out.
    auto state = ropeway::pool_state::initializing;
    for (const auto& change : seen_->of(resource_event_kind::state_changed)) {
        CHECK(change.state.first == state);
        CHECK(change.state.first != change.state.second);
        CHECK(may_follow(change.state.first, change.state.second));
        state = change.state.second;
    }
    auto liveness = ropeway::liveness_state::connecting;
    for (const auto& change : seen_->of(resource_event_kind::liveness_changed)) {
        CHECK(change.liveness.first == liveness);
        CHECK(change.liveness.first != change.liveness.second);
        liveness = change.liveness.second;
    }
}

void rig::end_without_leak(const postgres_server& server, std::size_t others, std::size_t ended) {
    const auto report = pool_->shutdown(5s);
    CHECK(report.clean());
    CHECK(report.lasted < 5s);
    expect_no_leak(server, others, ended);
}

void rig::expect_no_leak(const postgres_server& server, std::size_t others, std::size_t ended) {
    INFO(seen_->text());
    check_books();
    CHECK(server.wait_backends(others));
    CHECK(log_->wait_for("Connection pool terminated after "));
    pool_.reset();
    logger_.reset();
    settings_.reset();
    // A proxy of the test closes its ends of the connections when it hears of it.
    (void)wait_until([&] { return open_descriptors() + ended == descriptors_before_; });
    INFO(what_is_open());
    CHECK(open_descriptors() + ended == descriptors_before_);
}

std::string what_is_open() {
    std::string text;
    for (const auto& one : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code gone;  // the listing's own is gone by now
        const auto target = std::filesystem::read_symlink(one.path(), gone);
        text += one.path().filename().string() + " -> " + target.string() + '\n';
    }
    return text;
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all{"/proc/self/fd"};
    // One of them is the listing's own, before and after.
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::string ask(ropeway::postgres::connection& on, std::string_view sql,
                std::chrono::nanoseconds timeout) {
    const auto got = on.exec(sql, timeout);
    if (!got) {
        return std::string{to_string(got.error().kind)} + ": " + got.error().text;
    }
    return got.rows() == 0 ? std::string{} : std::string{got.text(0, 0)};
}

bool answers(pg_pool& pool, std::chrono::nanoseconds timeout) {
    auto lease = pool.acquire(timeout);
    return lease && ask(*lease, "select 7") == "7";
}

resource_error_kind why(const ropeway::pool_error& error) {
    return error.kind == resource_error_kind::timeout &&
                   error.cause.kind != resource_error_kind::none
               ? error.cause.kind
               : error.kind;
}

}  // namespace ropeway_test
