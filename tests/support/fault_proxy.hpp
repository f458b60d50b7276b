// SPDX-License-Identifier: Apache-2.0
//
// A faulty network on loopback: passes TCP connections on to a port of this machine, and delays,
// swallows, throttles or cuts what flows, as told at run time. Needs no rights and no Catch2.
//
//   client ── to_server ──► proxy ── to_server ──► server
//          ◄── to_client ──       ◄── to_client ──
//
// Ownership: the object owns its sockets and its one thread. Thread safety: all functions from any
// thread; what they change is in force when they return.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace ropeway_test {

enum class flow_direction : std::uint8_t { to_server, to_client };

/// How a connection is cut: with a farewell of TCP, or without one.
enum class cut_kind : std::uint8_t { fin, rst };

/// What happens to what flows in one direction of a connection.
struct flow_rule {
    std::chrono::milliseconds delay{0};
    std::uint64_t bytes_per_second = 0;  ///< 0: as fast as it goes
    /// Nothing gets through, not even the end of the connection; nothing says so either.
    bool black_hole = false;
    /// After so many more bytes in this direction the connection is cut; the byte behind them,
    /// which does it, is lost. 0 cuts at the next byte and passes none.
    std::optional<std::uint64_t> cut_after{};
    cut_kind cut = cut_kind::rst;
};

/// Which connections a change is for.
enum class flow_scope : std::uint8_t { all, open_ones, new_ones };

class fault_proxy {
  public:
    /// Listens on a free port of 127.0.0.1. @throws std::system_error
    explicit fault_proxy(std::uint16_t target_port);
    fault_proxy(const fault_proxy&) = delete;
    fault_proxy& operator=(const fault_proxy&) = delete;
    ~fault_proxy();

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// Where new connections lead: another server took over.
    void lead_to(std::uint16_t target_port);

    /// Sets the rule of one direction.
    void set(flow_direction direction, const flow_rule& rule, flow_scope scope = flow_scope::all);
    /// Both directions.
    void set(const flow_rule& rule, flow_scope scope = flow_scope::all);
    /// As it is without faults: everything passes.
    void heal() { set(flow_rule{}); }
    /// Cuts every open connection now.
    void cut(cut_kind how);
    /// New connections are cut at once (true), or served.
    void refuse(bool yes);

    /// Connections accepted, ever.
    [[nodiscard]] std::uint64_t accepted() const;
    /// Connections open now.
    [[nodiscard]] std::size_t open() const;
    /// Bytes passed on in that direction, ever.
    [[nodiscard]] std::uint64_t passed(flow_direction direction) const;
    /// Bytes that arrived, passed on or not.
    [[nodiscard]] std::uint64_t arrived(flow_direction direction) const;

  private:
    struct link;
    struct flow;
    struct turn;
    void run();
    void accept_one();
    void serve(link& one, turn& now);
    void read_some(link& one, flow& in);
    void write_some(link& one, flow& out, turn& now);
    void close(link& one, cut_kind how);
    void wake() noexcept;

    mutable std::mutex guard_;
    // Guarded by guard_.
    std::list<link> links_;
    flow_rule rules_[2]{};
    std::uint64_t passed_[2]{};
    std::uint64_t arrived_[2]{};
    std::uint64_t accepted_ = 0;
    std::uint16_t target_ = 0;
    bool refuse_ = false;
    bool ended_ = false;
    // Constant after construction.
    std::uint16_t port_ = 0;
    int listener_ = -1;
    int wake_ = -1;
    std::thread thread_;
};

}  // namespace ropeway_test
