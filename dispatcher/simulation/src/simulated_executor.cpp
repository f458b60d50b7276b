// SPDX-License-Identifier: Apache-2.0
//
// Workers as simulated threads. Every kind of executor is this one in a simulation.
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <ropeway/dispatcher/executor.hpp>
#include <ropeway/dispatcher/threading.hpp>

namespace ropeway {
namespace {

/// Shared with its threads, because one whose job never ends outlives its executor.
struct shared_state {
    executor::entry run = nullptr;
    executor::job what;
    unsigned most = 0;
    unsigned running = 0;
    unsigned pending = 0;  ///< jobs that found every thread busy
};

class simulated_executor final : public executor {
  public:
    explicit simulated_executor(const char* kind) : kind_(kind) {}
    virtual ~simulated_executor() = default;

    unsigned start(unsigned count, unsigned spare, entry run, job what) override {
        if (state_->run != nullptr) {
            throw std::logic_error("an executor serves one group of workers, and was started.");
        }
        state_->run = run;
        state_->what = std::move(what);
        state_->most = count + spare;
        return spare;
    }
    void submit() noexcept override {
        detail::scheduling_point();
        if (state_->running == state_->most) {
            ++state_->pending;
            return;
        }
        ++state_->running;
        detail::simulated::start_thread([state = state_] { work(*state); });
    }
    bool stop(std::chrono::steady_clock::time_point deadline) noexcept override {
        while (state_->running != 0 && detail::steady_clock::now() < deadline) {
            detail::sleep_for(std::chrono::microseconds{10});
        }
        const bool gone = state_->running == 0;
        state_ = std::make_shared<shared_state>();  // the job goes with the last thread
        return gone;
    }
    [[nodiscard]] const char* kind() const noexcept override { return kind_; }

  private:
    static void work(shared_state& state) noexcept {
        for (;;) {
            state.run(state.what.get());
            if (state.pending == 0) {
                break;
            }
            --state.pending;
        }
        --state.running;
    }

    const char* kind_;
    std::shared_ptr<shared_state> state_ = std::make_shared<shared_state>();
};

}  // namespace

std::shared_ptr<executor> make_arena_executor(std::string /*name*/) {
    return std::make_shared<simulated_executor>("arena");
}

std::shared_ptr<executor> make_thread_executor(thread_params /*params*/) {
    return std::make_shared<simulated_executor>("threads");
}

}  // namespace ropeway
