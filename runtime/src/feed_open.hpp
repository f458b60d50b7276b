// SPDX-License-Identifier: Apache-2.0
//
// Private: the file feeds on a reader whose first bytes were looked at already.
#pragma once

#include <memory>

#include <ropeway/runtime/feed_files.hpp>

#include "feed_reader.hpp"

namespace ropeway {

[[nodiscard]] std::unique_ptr<feed> make_csv_feed(std::unique_ptr<feed_reader> reader,
                                                  feed_params params);
[[nodiscard]] std::unique_ptr<feed> make_pcap_feed(std::unique_ptr<feed_reader> reader,
                                                   feed_params params);

}  // namespace ropeway
