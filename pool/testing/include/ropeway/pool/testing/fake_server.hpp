// SPDX-License-Identifier: Apache-2.0
//
// fake_server and fake_resource: a server that does what a test says, and the resources that are
// connected to it. Latencies, refusals, kills, outages, silence, soiled and broken returns are
// scripted; connections, probes, resets and ends are counted; and the resource watches the pool:
// a second task during the first, a look at what is not open, two threads at once and the like are
// recorded in misuses(). Works on virtual time (see virtual_time.hpp for a whole test) and on real
// time; steps carry no descriptor, only the time of the answer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/resource_time.hpp>

namespace ropeway::testing {

class fake_resource;

namespace detail {
class fake_state;
}  // namespace detail

/// How long the server takes to answer each task. Zero: done in begin() itself.
struct fake_latencies {
    std::chrono::nanoseconds open = std::chrono::milliseconds{2};
    std::chrono::nanoseconds probe = std::chrono::microseconds{200};
    std::chrono::nanoseconds reset = std::chrono::microseconds{200};
    std::chrono::nanoseconds close = std::chrono::microseconds{200};
};

/// What happened so far. After a clean shutdown opened = farewells + drops and open_now = 0.
struct fake_counts {
    std::uint64_t opens = 0;      ///< begun
    std::uint64_t opened = 0;     ///< succeeded
    std::uint64_t refused = 0;    ///< failed
    std::uint64_t abandoned = 0;  ///< dropped before the answer
    std::uint64_t probes = 0;     ///< begun
    std::uint64_t resets = 0;     ///< begun
    std::uint64_t checks = 0;
    std::uint64_t farewells = 0;      ///< ended by a task `close`
    std::uint64_t drops = 0;          ///< ended by drop() or destruction while open
    std::uint64_t kills = 0;          ///< ended by the server
    std::uint32_t open_now = 0;       ///< as the pool sees it: opened, neither closed nor dropped
    std::uint32_t alive_now = 0;      ///< as the server sees it: open_now less those it killed
    std::uint32_t most_alive = 0;     ///< the largest alive_now
    std::uint32_t resources_now = 0;  ///< objects that exist
};

/// Ownership: a test's; shared with its resources, so either may end first. Thread safety: every
/// function from any thread.
class fake_server {
  public:
    /// `time`: of the answers; the pool's. Must outlive the server and its resources.
    explicit fake_server(resource_time& time, fake_latencies latencies = {});

    /// What a resource_pool<fake_resource> is made with.
    [[nodiscard]] std::function<std::unique_ptr<fake_resource>()> maker() const;
    [[nodiscard]] std::unique_ptr<fake_resource> make() const;

    void set_latencies(fake_latencies latencies) noexcept;
    /// Resources show an idle_fd() from their next open on: a real descriptor that becomes readable
    /// when the server ends the connection or says something. Default: none.
    void use_descriptors(bool use) noexcept;

    /// The next `count` opens fail with `why`.
    void fail_opens(std::uint64_t count, resource_error why);
    /// The next `count` probes (resets) fail.
    void fail_probes(std::uint64_t count) noexcept;
    void fail_resets(std::uint64_t count) noexcept;

    /// Ends every connection; opens are refused with `why` until come_up().
    void go_down(resource_error_kind why = resource_error_kind::unavailable);
    void come_up() noexcept;
    /// While silent, tasks that begin are never answered; connections look well.
    void set_silent(bool silent) noexcept;

    /// Ends the connection of resource `number` (see fake_resource::number()), as a server does:
    /// the resource learns of it when it looks. @return false if it has none.
    bool kill(std::uint64_t number) noexcept;
    /// Ends all. @return how many.
    std::size_t kill_all() noexcept;
    /// Unasked input on resource `number`: its next check() says doubtful.
    bool say_something(std::uint64_t number) noexcept;
    /// Numbers of the resources with a living connection, ascending.
    [[nodiscard]] std::vector<std::uint64_t> alive() const;

    [[nodiscard]] fake_counts counts() const noexcept;
    /// What the pool (or a holder) did against the rules of pooled_resource, in order, at most 32
    /// sentences. Empty in a right program.
    [[nodiscard]] std::vector<std::string> misuses() const;

  private:
    std::shared_ptr<detail::fake_state> state_;
};

/// Thread safety: as pooled_resource says; breaches are recorded. Ownership: the pool's slot.
class fake_resource final : public pooled_resource {
  public:
    fake_resource(std::shared_ptr<detail::fake_state> state, std::uint64_t object) noexcept;
    ~fake_resource() override;

    // For its holder.
    /// Number of the connection, from 1 in the order in which opens succeeded; 0 while none is
    /// open.
    [[nodiscard]] std::uint64_t number() const noexcept;
    /// Uses it for `lasts` on the pool's clock. @return false if the connection had ended or the
    /// server is silent; then error() says `broken`, and it comes back broken. Also false, with
    /// `closed`, when a shutdown dropped it under its holder.
    bool use(std::chrono::nanoseconds lasts = {}) noexcept;
    /// It will come back in that state.
    void leave(return_state state) noexcept;

    resource_step begin(resource_task task) noexcept override;
    resource_step resume() noexcept override;
    resource_health check() noexcept override;
    [[nodiscard]] int idle_fd() const noexcept override;
    return_state on_return() noexcept override;
    void drop() noexcept override;
    [[nodiscard]] const resource_error& error() const noexcept override { return error_; }

  private:
    friend class detail::fake_state;
    friend class fake_server;
    class visit;
    enum class phase : std::uint8_t { closed, busy, open, failed };

    [[nodiscard]] resource_step go_on() noexcept;
    [[nodiscard]] resource_step finish(bool well) noexcept;
    void fail(resource_error_kind kind, std::string_view text) noexcept;
    void misuse(std::string_view what) const noexcept;
    void end(bool farewell) noexcept;

    std::shared_ptr<detail::fake_state> state_;
    const std::uint64_t object_;
    mutable std::atomic<std::uint32_t> visitors_{0};
    // The rest: guarded by the server's lock.
    phase phase_ = phase::closed;
    resource_task task_ = resource_task::open;
    return_state left_ = return_state::clean;
    bool was_open_ = false;   ///< before the task in progress
    bool killed_ = false;     ///< the server ended its connection
    bool spoken_to_ = false;  ///< unasked input lies there
    bool silent_ = false;     ///< the task in progress is never answered
    std::uint64_t number_ = 0;
    int fd_ = -1;
    resource_clock_point due_{};
    resource_error error_{};
};

}  // namespace ropeway::testing
