// SPDX-License-Identifier: Apache-2.0
//
// Private: settings as one open reads them: checked, as libpq's keywords, host names resolved.
// Constant after construction but for one count; shared by the connections that were opened with
// it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/pool/postgres/settings.hpp>

namespace ropeway::postgres::detail {

class cancel_sender;

/// A keyword of libpq and its value.
struct keyword {
    std::string name;
    std::string value;
};

struct connect_settings {
    postgres_params params{};
    std::vector<keyword> keywords{};
    /// What error texts must never show: as given, and as the url encodes it.
    std::vector<std::string> secrets{};
    std::string target{};
    std::shared_ptr<cancel_sender> cancels{};
    /// How many opens were given up while they connected; the next one begins that much further on
    /// in the list of hosts. The one thing here that changes.
    mutable std::atomic<std::uint32_t> opens_given_up{0};

    /// The value of a keyword; empty if it has none.
    [[nodiscard]] std::string_view value(std::string_view name) const noexcept;
};

/// The keywords of url and options with our defaults. @throws std::invalid_argument
[[nodiscard]] std::vector<keyword> keywords_of(const postgres_params& params);

/// Adds `hostaddr` for each name of `host`, resolved now. What cannot be resolved leaves the list
/// as it is, for libpq to resolve.
void resolve_hosts(std::vector<keyword>& keywords);

/// The keywords with their lists of hosts, addresses and ports turned by `places`.
[[nodiscard]] std::vector<keyword> turned(std::vector<keyword> keywords, std::uint32_t places);

/// masked(text), and without each of `secrets`.
[[nodiscard]] std::string masked(std::string_view text, const std::vector<std::string>& secrets);

}  // namespace ropeway::postgres::detail
