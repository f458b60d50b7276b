// SPDX-License-Identifier: Apache-2.0
//
// What tests of a runtime's pools begin with: a log that is kept, a clock that stands still, a
// scripted server, a small runtime.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/executor.hpp>
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>
#include <ropeway/runtime/runtime.hpp>
#include <ropeway_test.hpp>

#include "log_test_support.hpp"

namespace ropeway_test {

using ropeway::health_status;
using ropeway::resource_error_kind;
using ropeway::resource_pool;
using ropeway::resource_pool_params;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_time;

/// A log of JSON lines, a clock that stands still, a scripted server.
struct world {
    lines written;
    virtual_time time;
    fake_server server{time};

    ropeway::logging_params log(ropeway::log_level level = ropeway::log_level::info) {
        ropeway::logging_params out = caught_in(written, {});
        out.level = level;
        out.rate_burst = 1000;
        return out;
    }
    resource_pool_params params() {
        return {.min_size = 2, .max_size = 10, .time = &time, .seed = 7};
    }
};

inline std::vector<std::string> messages(const lines& all) {
    std::vector<std::string> out;
    std::transform(all.begin(), all.end(), std::back_inserter(out),
                   [](const std::string& line) { return std::string{parsed(line)["message"]}; });
    return out;
}

/// Where the first message that begins so stands; the number of messages if none does.
inline std::size_t place_of(const std::vector<std::string>& all, const std::string& begin) {
    return static_cast<std::size_t>(
        std::find_if(all.begin(), all.end(),
                     [&](const std::string& each) { return each.rfind(begin, 0) == 0; }) -
        all.begin());
}

inline bool holds(const std::vector<std::string>& all, const std::string& begin) {
    return place_of(all, begin) != all.size();
}

inline ropeway::runtime_params small(ropeway::logging_params log) {
    ropeway::runtime_params params;
    params.name = "trial";
    params.workers.count = 1;
    params.workers.where = ropeway::make_thread_executor({.name = "trial"});
    params.log = std::move(log);
    return params;
}

}  // namespace ropeway_test
