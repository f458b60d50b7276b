// SPDX-License-Identifier: Apache-2.0
//
// The scripted server and its resources. One lock of the server guards all: tests only.
#include <ropeway/pool/testing/fake_server.hpp>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

#include <ropeway/pool/end_of_wait.hpp>

namespace ropeway::testing {

namespace detail {

/// What the server and its resources share. Guarded by `lock`, save `time`.
class fake_state {
  public:
    explicit fake_state(resource_time& clock) noexcept : time(clock) {}

    void record(std::string what) {
        if (misuses.size() < 32) {
            misuses.push_back(std::move(what));
        }
    }
    [[nodiscard]] std::chrono::nanoseconds latency(resource_task task) const noexcept {
        switch (task) {
            case resource_task::open: return latencies.open;
            case resource_task::probe: return latencies.probe;
            case resource_task::reset: return latencies.reset;
            case resource_task::close: return latencies.close;
        }
        return {};
    }
    /// The server's side of a connection ends; the lock is held.
    void end_alive(fake_resource& one) noexcept {
        one.killed_ = true;
        --counts.alive_now;
        ++counts.kills;
        signal(one);
    }
    static void signal(const fake_resource& one) noexcept {
        if (one.fd_ >= 0) {
            // Cannot fail: the counter is far from its end.
            static_cast<void>(::eventfd_write(one.fd_, 1));
        }
    }
    [[nodiscard]] static bool is_alive(const fake_resource& one) noexcept {
        return one.number_ != 0 && !one.killed_;
    }
    [[nodiscard]] fake_resource* find(std::uint64_t number) const noexcept {
        const auto found = std::find_if(resources.begin(), resources.end(), [&](const auto* one) {
            return is_alive(*one) && one->number_ == number;
        });
        return found == resources.end() ? nullptr : *found;
    }

    std::mutex lock{};
    resource_time& time;
    fake_latencies latencies{};
    bool descriptors = false;
    bool down = false;
    bool silent = false;
    resource_error_kind down_kind = resource_error_kind::unavailable;
    std::uint64_t failing_opens = 0;
    std::uint64_t failing_probes = 0;
    std::uint64_t failing_resets = 0;
    resource_error open_error{};
    std::vector<fake_resource*> resources{};
    std::vector<std::string> misuses{};
    fake_counts counts{};
    std::uint64_t objects = 0;
};

}  // namespace detail

/// One call into a resource: sees whether another is under way, and holds the server's lock.
class fake_resource::visit {
  public:
    visit(const fake_resource& host, std::string_view what) noexcept
        : host_(host),
          // acq_rel: pairs with the destructor of another thread's visit, as a lock would
          alone_(host.visitors_.fetch_add(1, std::memory_order_acq_rel) == 0),
          guard_(host.state_->lock) {
        if (!alone_) {
            host.misuse(std::string{what} + " while another thread is in it");
        }
    }
    ~visit() {
        // release: pairs with the next visit's acquire
        host_.visitors_.fetch_sub(1, std::memory_order_release);
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

  private:
    const fake_resource& host_;
    bool alone_;
    std::lock_guard<std::mutex> guard_;
};

fake_resource::fake_resource(std::shared_ptr<detail::fake_state> state,
                             std::uint64_t object) noexcept
    : state_(std::move(state)), object_(object) {}

fake_resource::~fake_resource() {
    drop();
    const std::lock_guard guard{state_->lock};
    std::erase(state_->resources, this);
    --state_->counts.resources_now;
}

void fake_resource::misuse(std::string_view what) const noexcept {
    state_->record("resource " + std::to_string(object_) + " (connection " +
                   std::to_string(number_) + "): " + std::string{what});
}

std::uint64_t fake_resource::number() const noexcept {
    const std::lock_guard guard{state_->lock};
    return number_;
}

bool fake_resource::use(std::chrono::nanoseconds lasts) noexcept {
    {
        const visit here{*this, "use"};
        if (phase_ != phase::open) {
            fail(resource_error_kind::closed, "the pool dropped the connection");
            return false;
        }
    }
    if (lasts.count() > 0) {
        const resource_clock_point until = ropeway::detail::end_of_wait(state_->time.now(), lasts);
        while (state_->time.now() < until) {
            state_->time.poll(-1, 0, until);
        }
    }
    const visit here{*this, "use"};
    if (phase_ != phase::open) {
        fail(resource_error_kind::closed, "the pool dropped the connection while it was in use");
        return false;
    }
    if (killed_ || state_->silent) {
        fail(resource_error_kind::broken, "the server ended the connection while it was in use");
        left_ = return_state::broken;
        return false;
    }
    return true;
}

void fake_resource::leave(return_state state) noexcept {
    const visit here{*this, "leave"};
    left_ = state;
}

void fake_resource::fail(resource_error_kind kind, std::string_view text) noexcept {
    error_ = {.kind = kind, .code = {}, .text = std::string{text}};
}

resource_step fake_resource::begin(resource_task task) noexcept {
    const visit here{*this, "begin"};
    if (phase_ == phase::busy) {
        misuse("a task was begun during another");
    } else if (phase_ == phase::failed) {
        misuse("a task was begun after a failure, without drop()");
    } else if ((phase_ == phase::open) == (task == resource_task::open)) {
        misuse(task == resource_task::open ? "opened twice" : "a task was begun while not open");
    }
    error_ = {};
    was_open_ = phase_ == phase::open;
    phase_ = phase::busy;
    task_ = task;
    silent_ = state_->silent;
    due_ = ropeway::detail::end_of_wait(state_->time.now(), state_->latency(task));
    fake_counts& counts = state_->counts;
    counts.opens += task == resource_task::open ? 1 : 0;
    counts.probes += task == resource_task::probe ? 1 : 0;
    counts.resets += task == resource_task::reset ? 1 : 0;
    return go_on();
}

resource_step fake_resource::resume() noexcept {
    const visit here{*this, "resume"};
    if (phase_ != phase::busy) {
        misuse("resumed without a task");
        return {.state = step_state::failed};
    }
    return go_on();
}

resource_step fake_resource::go_on() noexcept {
    if (silent_) {
        return {.state = step_state::wants_read};
    }
    const auto left = due_ - state_->time.now();
    if (left.count() > 0) {
        return {.state = step_state::wants_read, .fd = -1, .after = left};
    }
    detail::fake_state& server = *state_;
    const auto fails = [](std::uint64_t& count) { return count != 0 && count-- != 0; };
    switch (task_) {
        case resource_task::open:
            if (server.down) {
                fail(server.down_kind, "the server is down");
                return finish(false);
            }
            if (fails(server.failing_opens)) {
                error_ = server.open_error;
                return finish(false);
            }
            return finish(true);
        case resource_task::probe:
        case resource_task::reset:
            if (killed_ || fails(task_ == resource_task::probe ? server.failing_probes
                                                               : server.failing_resets)) {
                fail(resource_error_kind::broken, "no answer: the connection has ended");
                return finish(false);
            }
            return finish(true);
        case resource_task::close: return finish(true);
    }
    return {};
}

resource_step fake_resource::finish(bool well) noexcept {
    phase_ = well ? phase::open : phase::failed;
    fake_counts& counts = state_->counts;
    if (task_ == resource_task::open) {
        was_open_ = false;
        if (!well) {
            ++counts.refused;
            return {.state = step_state::failed};
        }
        number_ = ++counts.opened;
        killed_ = false;
        spoken_to_ = false;
        left_ = return_state::clean;
        ++counts.open_now;
        ++counts.alive_now;
        counts.most_alive = std::max(counts.most_alive, counts.alive_now);
        fd_ = state_->descriptors ? ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    } else if (task_ == resource_task::reset && well) {
        left_ = return_state::clean;
        spoken_to_ = false;
    } else if (task_ == resource_task::close) {
        end(true);
    }
    return {.state = well ? step_state::done : step_state::failed};
}

resource_health fake_resource::check() noexcept {
    const visit here{*this, "check"};
    if (phase_ != phase::open) {
        misuse(phase_ == phase::busy ? "checked during a task" : "checked while it is not open");
        return resource_health::dead;
    }
    ++state_->counts.checks;
    if (killed_) {
        fail(resource_error_kind::broken, "the server ended the connection while it was idle");
        return resource_health::dead;
    }
    if (fd_ >= 0) {
        eventfd_t said = 0;
        static_cast<void>(::eventfd_read(fd_, &said));
    }
    return std::exchange(spoken_to_, false) ? resource_health::doubtful : resource_health::usable;
}

int fake_resource::idle_fd() const noexcept {
    const visit here{*this, "idle_fd"};
    return fd_;
}

return_state fake_resource::on_return() noexcept {
    const visit here{*this, "on_return"};
    if (phase_ != phase::open) {
        misuse("returned while it is not open");
        return return_state::broken;
    }
    return left_;
}

void fake_resource::drop() noexcept {
    const visit here{*this, "drop"};
    if (phase_ == phase::busy && task_ == resource_task::open) {
        ++state_->counts.abandoned;
    }
    end(false);
}

void fake_resource::end(bool farewell) noexcept {
    if (number_ != 0) {
        fake_counts& counts = state_->counts;
        --counts.open_now;
        counts.alive_now -= killed_ ? 0 : 1;
        ++(farewell ? counts.farewells : counts.drops);
        number_ = 0;
    }
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
    phase_ = phase::closed;
    left_ = return_state::clean;
}

fake_server::fake_server(resource_time& time, fake_latencies latencies)
    : state_(std::make_shared<detail::fake_state>(time)) {
    state_->latencies = latencies;
}

std::unique_ptr<fake_resource> fake_server::make() const {
    const std::lock_guard guard{state_->lock};
    auto made = std::make_unique<fake_resource>(state_, ++state_->objects);
    state_->resources.push_back(made.get());
    ++state_->counts.resources_now;
    return made;
}

std::function<std::unique_ptr<fake_resource>()> fake_server::maker() const {
    return [server = *this] { return server.make(); };
}

void fake_server::set_latencies(fake_latencies latencies) noexcept {
    const std::lock_guard guard{state_->lock};
    state_->latencies = latencies;
}

void fake_server::use_descriptors(bool use) noexcept {
    const std::lock_guard guard{state_->lock};
    state_->descriptors = use;
}

void fake_server::fail_opens(std::uint64_t count, resource_error why) {
    const std::lock_guard guard{state_->lock};
    state_->failing_opens = count;
    state_->open_error = std::move(why);
}

void fake_server::fail_probes(std::uint64_t count) noexcept {
    const std::lock_guard guard{state_->lock};
    state_->failing_probes = count;
}

void fake_server::fail_resets(std::uint64_t count) noexcept {
    const std::lock_guard guard{state_->lock};
    state_->failing_resets = count;
}

void fake_server::go_down(resource_error_kind why) {
    {
        const std::lock_guard guard{state_->lock};
        state_->down = true;
        state_->down_kind = why;
    }
    kill_all();
}

void fake_server::come_up() noexcept {
    const std::lock_guard guard{state_->lock};
    state_->down = false;
}

void fake_server::set_silent(bool silent) noexcept {
    const std::lock_guard guard{state_->lock};
    state_->silent = silent;
}

bool fake_server::kill(std::uint64_t number) noexcept {
    const std::lock_guard guard{state_->lock};
    fake_resource* const found = state_->find(number);
    if (found != nullptr) {
        state_->end_alive(*found);
    }
    return found != nullptr;
}

std::size_t fake_server::kill_all() noexcept {
    const std::lock_guard guard{state_->lock};
    std::size_t killed = 0;
    for (fake_resource* const one : state_->resources) {
        if (detail::fake_state::is_alive(*one)) {
            state_->end_alive(*one);
            ++killed;
        }
    }
    return killed;
}

bool fake_server::say_something(std::uint64_t number) noexcept {
    const std::lock_guard guard{state_->lock};
    fake_resource* const found = state_->find(number);
    if (found != nullptr) {
        found->spoken_to_ = true;
        detail::fake_state::signal(*found);
    }
    return found != nullptr;
}

std::vector<std::uint64_t> fake_server::alive() const {
    const std::lock_guard guard{state_->lock};
    std::vector<std::uint64_t> numbers;
    for (const fake_resource* const one : state_->resources) {
        if (detail::fake_state::is_alive(*one)) {
            numbers.push_back(one->number_);
        }
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

fake_counts fake_server::counts() const noexcept {
    const std::lock_guard guard{state_->lock};
    return state_->counts;
}

std::vector<std::string> fake_server::misuses() const {
    const std::lock_guard guard{state_->lock};
    return state_->misuses;
}

}  // namespace ropeway::testing
