// SPDX-License-Identifier: Apache-2.0
// The C library's hardened _longjmp() takes a jump to another stack for a mistake.
#undef _FORTIFY_SOURCE
#include "scheduler.hpp"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace ropeway::detail::simulated {
namespace {

/// What a point costs in virtual time.
constexpr std::chrono::nanoseconds point_time{20};

thread_local constinit scheduler* this_scheduler = nullptr;

/// Stacks of runs that are over, for the next one. Of one system thread.
std::vector<stack>& spare_stacks() {
    static thread_local std::vector<stack> stacks;
    return stacks;
}

/// Threads of failed runs: what they hold must never be destroyed, as it refers to their stacks.
void keep_for_ever(std::shared_ptr<void> what) {
    static auto& all = *new std::vector<std::shared_ptr<void>>;
    static std::mutex guard;
    const std::lock_guard lock{guard};
    all.push_back(std::move(what));
}

void about_to_switch([[maybe_unused]] void** leaves, [[maybe_unused]] const void* bottom,
                     [[maybe_unused]] std::size_t size) noexcept {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(leaves, bottom, size);
#endif
}

std::size_t page_bytes() noexcept {
    static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

void has_switched([[maybe_unused]] void* comes_back,
                  [[maybe_unused]] const void** from_bottom = nullptr,
                  [[maybe_unused]] std::size_t* from_size = nullptr) noexcept {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(comes_back, from_bottom, from_size);
#endif
}

}  // namespace

stack::stack(std::size_t bytes) {
    bytes_ = bytes + page_bytes();
    void* const got =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED || mprotect(got, page_bytes(), PROT_NONE) != 0) {
        throw std::bad_alloc{};
    }
    memory_ = static_cast<std::byte*>(got);
    bytes_ = bytes;
}

stack::stack(stack&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}

stack& stack::operator=(stack&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

stack::~stack() {
    if (memory_ != nullptr) {
        munmap(memory_, bytes_ + page_bytes());
    }
}

std::byte* stack::begin() const noexcept { return memory_ + page_bytes(); }

void stack::leave() noexcept {
#if defined(__SANITIZE_ADDRESS__)
    __lsan_register_root_region(begin(), bytes_);
#endif
    memory_ = nullptr;
}

random_source::random_source(std::uint64_t seed) noexcept
    : state_((seed + 1) * 0x9E3779B97F4A7C15U) {
    state_ = state_ == 0 ? 1 : state_;
    for (int i = 0; i < 8; ++i) {
        static_cast<void>(next());
    }
}

std::uint64_t random_source::next() noexcept {
    state_ ^= state_ >> 12U;
    state_ ^= state_ << 25U;
    state_ ^= state_ >> 27U;
    return state_ * 0x2545F4914F6CDD1DU;
}

std::uint64_t random_source::below(std::uint64_t bound) noexcept {
    return bound == 0 ? 0 : (next() >> 11U) % bound;
}

bool random_source::one_in(std::uint64_t bound) noexcept {
    const std::uint64_t drawn = next() >> 11U;
    switch (bound) {  // a division by a constant is a multiplication
        case 1: return true;
        case 2: return drawn % 2 == 0;
        case 3: return drawn % 3 == 0;
        case 4: return drawn % 4 == 0;
        case 5: return drawn % 5 == 0;
        case 6: return drawn % 6 == 0;
        default: return drawn % bound == 0;
    }
}

scheduler* scheduler::current() noexcept { return this_scheduler; }

scheduler::scheduler(const simulation::params& with)
    : seed_(with.seed),
      most_points_(with.most_points),
      stack_bytes_(with.stack_bytes),
      choices_(2 * with.seed),
      drawn_(2 * with.seed + 1) {
    constexpr std::array<std::uint64_t, 6> turns{2, 4, 8, 20, 60, 200};
    constexpr std::array<std::uint64_t, 4> hold_ups{0, 10, 40, 200};
    constexpr std::array<std::uint64_t, 3> lengths{3'000, 50'000, 1'000'000};
    turn_points_ = turns[choices_.below(turns.size())];
    hold_up_one_in_ = hold_ups[choices_.below(hold_ups.size())];
    hold_up_ns_ = lengths[choices_.below(lengths.size())];
}

scheduler::~scheduler() {
    if (failed_) {
        keep_for_ever(std::make_shared<decltype(threads_)>(std::move(threads_)));
    }
}

void scheduler::run(const std::function<void()>& body) {
    start(body);
    this_scheduler = this;
    running_ = live_.front();
    rearm();
    about_to_switch(&outside_fake_stack_, running_->on.begin(), running_->on.size());
    swapcontext(&outside_, &running_->context);
    has_switched(outside_fake_stack_);
    pass_points();
    this_scheduler = nullptr;
    points_left = no_scheduler;
    if (failed_) {
        leave_all();
    }
}

std::uint64_t scheduler::points() noexcept { return points_; }

void scheduler::rearm() noexcept {
    armed_ = 1 + choices_.below(2 * turn_points_);
    points_left = armed_;
}

void scheduler::pass_points() noexcept {
    const std::uint64_t passed = armed_ - points_left;
    armed_ = points_left;
    points_ += passed;
    now_ += passed * point_time;
}

std::chrono::nanoseconds scheduler::now() const noexcept {
    return now_ + (armed_ - points_left) * point_time;
}

void scheduler::begin_turn() noexcept {
    pass_points();
    if (points_ > most_points_) {
        most_points_ = ~std::uint64_t{0};
        fail("no end after " + std::to_string(points_) + " scheduling points;" + who_waits());
    }
}

void scheduler::turn() noexcept {
    begin_turn();
    if (hold_up_one_in_ != 0 && choices_.below(hold_up_one_in_) == 0) {
        // Any order of magnitude is as likely as the others.
        std::uint64_t most = hold_up_ns_;
        for (std::uint64_t left = choices_.below(4); left != 0; --left) {
            most /= 8;
        }
        sleep(std::chrono::nanoseconds{choices_.below(most + 1)});
        return;
    }
    choose();
}

void scheduler::sleep(std::chrono::nanoseconds time) noexcept {
    begin_turn();
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count()));
    running_->state = doing::sleeps;
    // Two that poll alike must not stay in step.
    running_->until = now_ + std::chrono::nanoseconds{ns + choices_.below(ns / 8 + 2)};
    choose();
}

bool scheduler::wait(const void* address, std::chrono::nanoseconds until,
                     const char* what) noexcept {
    begin_turn();
    running_->state = doing::waits;
    running_->address = address;
    running_->until = until;
    running_->waits_for = what;
    choose();
    return std::exchange(running_->address, nullptr) == nullptr;
}

void scheduler::wake(const void* address) noexcept {
    for (simulated_thread* const one : live_) {
        if (one->state == doing::waits && one->address == address) {
            one->state = doing::ready;
            one->address = nullptr;
        }
    }
}

std::uint32_t scheduler::start(std::function<void()> run) {
    auto made = std::make_unique<simulated_thread>();
    made->number = static_cast<std::uint32_t>(threads_.size());
    made->run = std::move(run);
    auto& spare = spare_stacks();
    if (!spare.empty() && spare.back().size() == stack_bytes_) {
        made->on = std::move(spare.back());
        spare.pop_back();
    } else {
        made->on = stack{stack_bytes_};
    }
    getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->on.begin();
    made->context.uc_stack.ss_size = made->on.size();
    made->context.uc_link = nullptr;
    makecontext(&made->context, reinterpret_cast<void (*)()>(&scheduler::entry), 0);
    live_.push_back(made.get());
    threads_.push_back(std::move(made));
    return threads_.back()->number;
}

void scheduler::join(std::uint32_t number) noexcept {
    const simulated_thread& other = *threads_[number];
    while (other.state != doing::ended) {
        wait(&other, for_ever, "a thread's end");
    }
}

void scheduler::entry() noexcept {
    scheduler& self = *this_scheduler;
    self.arrived();
    simulated_thread& me = *self.running_;
    try {
        me.run();
        me.run = nullptr;
    } catch (const std::exception& left) {
        self.fail(std::string{"an exception left a thread: "} + left.what());
    } catch (...) {
        self.fail("an exception left a thread");
    }
    self.begin_turn();
    me.state = doing::ended;
    self.live_.erase(std::find(self.live_.begin(), self.live_.end(), &me));
    self.wake(&me);
    if (!self.live_.empty()) {
        self.choose();
    }
    self.leave_for_good();
}

void scheduler::arrived() noexcept {
    const void* bottom = nullptr;
    std::size_t size = 0;
    has_switched(running_->fake_stack, &bottom, &size);
    if (outside_bottom_ == nullptr) {  // the first switch came from outside
        outside_bottom_ = bottom;
        outside_size_ = size;
    }
    // The stack of one that has ended is free now that nobody stands on it.
    if (ended_ != nullptr) {
        spare_stacks().push_back(std::move(ended_->on));
        ended_ = nullptr;
    }
}

void scheduler::leave_for_good() noexcept {
    about_to_switch(nullptr, outside_bottom_, outside_size_);
    setcontext(&outside_);
    std::terminate();
}

void scheduler::choose() noexcept {
    for (;;) {
        std::size_t ready = 0;
        simulated_thread* next = nullptr;
        std::chrono::nanoseconds first = for_ever;
        for (simulated_thread* const one : live_) {
            if (one->state == doing::ready || one->until <= now_) {
                // Each of those seen so far is as likely.
                next = choices_.one_in(++ready) ? one : next;
            } else {
                first = std::min(first, one->until);
            }
        }
        if (next == nullptr) {
            if (first == for_ever) {
                fail("deadlock: nobody can go on;" + who_waits());
            }
            now_ = first;
            continue;
        }
        next->state = doing::ready;
        rearm();
        if (next != running_) {
            switch_to(*next);
        }
        return;
    }
}

void scheduler::switch_to(simulated_thread& next) noexcept {
    simulated_thread& me = *running_;
    ++switches_;
    trace_ = (trace_ ^ (next.number + static_cast<std::uint64_t>(now_.count()))) * 0x100000001B3U;
    auto* const exceptions = reinterpret_cast<exception_state*>(abi::__cxa_get_globals());
    me.exceptions = std::exchange(*exceptions, next.exceptions);
    running_ = &next;
    const bool over = me.state == doing::ended;
    ended_ = over ? &me : ended_;
    about_to_switch(over ? nullptr : &me.fake_stack, next.on.begin(), next.on.size());
#if defined(__SANITIZE_ADDRESS__)
    swapcontext(&me.context, &next.context);
#else
    // Unlike swapcontext() this leaves the mask of signals alone, which costs a system call.
    if (_setjmp(me.left) == 0) {
        me.has_left = true;
        if (next.has_left) {
            _longjmp(next.left, 1);
        }
        setcontext(&next.context);
    }
#endif
    arrived();
}

void scheduler::fail(std::string_view what) noexcept {
    failure_ = what;
    failed_ = true;
    leave_for_good();
}

void scheduler::leave_all() noexcept {
    for (simulated_thread* const one : live_) {
        one->on.leave();
    }
}

std::string scheduler::who_waits() const {
    std::string out;
    for (const simulated_thread* const one : live_) {
        out += " thread " + std::to_string(one->number);
        switch (one->state) {
            case doing::waits: out += std::string{" waits for "} + one->waits_for; break;
            case doing::sleeps: out += " sleeps"; break;
            default: out += " runs"; break;
        }
        out += one == live_.back() ? "" : ",";
    }
    return out;
}

void turn() noexcept {
    if (this_scheduler == nullptr) {
        points_left = no_scheduler;
        return;
    }
    this_scheduler->turn();
}

void pass(std::chrono::nanoseconds time) noexcept {
    if (this_scheduler != nullptr) {
        this_scheduler->sleep(time);
    }
}

std::uint32_t number() noexcept { return this_scheduler == nullptr ? 0 : this_scheduler->number(); }

std::chrono::nanoseconds now() noexcept {
    return this_scheduler == nullptr ? std::chrono::nanoseconds{0} : this_scheduler->now();
}

bool wait_on(const void* address, std::chrono::nanoseconds until, const char* what) noexcept {
    if (this_scheduler == nullptr) {
        std::terminate();  // outside of a simulation nobody else could wake us
    }
    return this_scheduler->wait(address, until, what);
}

void wake_all(const void* address) noexcept {
    if (this_scheduler != nullptr) {
        this_scheduler->wake(address);
    }
}

bool spurious() noexcept {
    return this_scheduler != nullptr && this_scheduler->choices().below(16) == 0;
}

std::uint32_t start_thread(std::function<void()> run) {
    if (this_scheduler == nullptr) {
        throw std::logic_error(
            "a simulated thread outside of a simulation: start dispatchers inside of "
            "simulation::run().");
    }
    return this_scheduler->start(std::move(run));
}

void join(std::uint32_t number) noexcept {
    if (this_scheduler != nullptr) {
        this_scheduler->join(number);
    }
}

}  // namespace ropeway::detail::simulated

namespace ropeway::detail {

std::uint32_t& handler_depth() noexcept {
    static thread_local std::uint32_t outside = 0;
    auto* const now = simulated::scheduler::current();
    return now == nullptr ? outside : now->depth();
}

retainer& retaining() noexcept {
    static thread_local retainer outside;
    auto* const now = simulated::scheduler::current();
    return now == nullptr ? outside : now->retains();
}

}  // namespace ropeway::detail
