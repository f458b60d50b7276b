// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/feed_files.hpp>

#include <algorithm>

#include <ropeway_test.hpp>

#include "feed_bytes_for_tests.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

/// For each length shorter than the whole: must the cut be seen, and which events may come first.
template <class CutIsInvisible>
void cut_everywhere(const bytes& whole, const std::vector<market_event>& expected,
                    CutIsInvisible&& invisible) {
    for (std::size_t length = 0; length < whole.size(); ++length) {
        // a copy of its own, so that AddressSanitizer sees a read behind the cut
        const bytes cut(whole.data(), length);
        const auto read = read_all(cut);
        INFO("cut to " << length << " of " << whole.size());
        REQUIRE(read.error.has_value() == !invisible(length));
        if (read.error) {
            REQUIRE_FALSE(std::string(read.error->what()).empty());
            REQUIRE_FALSE(read.error->remedy().empty());
        }
        REQUIRE(read.events.size() <= expected.size());
        REQUIRE(std::equal(read.events.begin(), read.events.end(), expected.begin()));
    }
}

}  // namespace

TEST_CASE(
    "a CSV cut at any byte is an error, save right behind a newline, where nobody can see it") {
    const auto whole = small_csv();
    std::size_t invisible = 0;
    cut_everywhere(whole, read_all(whole).events, [&](std::size_t length) {
        const bool hidden = length > events_header.size() && whole[length - 1] == '\n';
        invisible += hidden ? 1U : 0U;
        return hidden;
    });
    CHECK(invisible == 2);
}

TEST_CASE("a CSV with carriage returns cut at any byte is an error as well") {
    bytes whole = small_csv();
    for (std::size_t at = 0; (at = whole.find('\n', at)) != bytes::npos; at += 2) {
        whole.insert(at, 1, '\r');
    }
    cut_everywhere(whole, read_all(whole).events, [&](std::size_t length) {
        return length > events_header.size() + 1 && whole[length - 1] == '\n';
    });
}

TEST_CASE("a pcap cut at any byte is an error, save between two records") {
    const auto whole = small_pcap();
    std::vector<std::size_t> ends;
    for (std::size_t at = 24; at < whole.size();) {
        std::uint32_t length = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            length |= std::uint32_t{static_cast<unsigned char>(whole[at + 8 + i])} << (8 * i);
        }
        at += 16 + length;
        ends.push_back(at);
    }
    REQUIRE(ends.size() == 3);
    cut_everywhere(whole, read_all(whole).events, [&](std::size_t length) {
        return std::find(ends.begin(), ends.end(), length) != ends.end();
    });
}

TEST_CASE("a packed file cut at any byte is an error, without exception") {
    for (const auto& plain : {small_csv(), small_pcap()}) {
        const auto expected = read_all(plain).events;
        cut_everywhere(gzip(plain), expected, [](std::size_t) { return false; });
    }
}

TEST_CASE("two gzip members are one file, cut between them only the first is left") {
    const auto plain = small_csv();
    const auto half = plain.find("1700000000000000200");
    const auto first = gzip(plain.substr(0, half));
    const auto both = first + gzip(plain.substr(half));
    const auto expected = read_all(plain).events;
    CHECK(read_all(both).events == expected);
    cut_everywhere(both, expected, [&](std::size_t length) { return length == first.size(); });
}

TEST_CASE("garbage behind a gzip member, and a damaged checksum, are errors") {
    auto packed = gzip(small_csv());
    CHECK(read_all(packed + "garbage").failed_with(feed_fault::corrupt));
    CHECK(read_all(packed + bytes(4, '\0')).failed_with(feed_fault::corrupt));
    packed[packed.size() - 6] = static_cast<char>(packed[packed.size() - 6] ^ 1);
    CHECK(read_all(packed).failed_with(feed_fault::corrupt));
}

TEST_CASE("blocks of any size make the same events") {
    class dripping final : public byte_source {
      public:
        dripping(bytes data, std::size_t step) : data_(std::move(data)), step_(step) {}
        std::span<const std::byte> next_block() override {
            // the block before is overwritten, as a file's buffer is
            block_ = data_.substr(at_, step_);
            at_ += block_.size();
            return view(block_);
        }
        const std::string& name() const noexcept override { return name_; }

      private:
        bytes data_;
        std::size_t step_;
        std::size_t at_ = 0;
        bytes block_;
        std::string name_ = "dripping";
    };
    for (const auto& plain : {small_csv(), small_pcap()}) {
        const auto expected = read_all(plain).events;
        for (const auto& data : {plain, gzip(plain)}) {
            for (const std::size_t step : {1U, 2U, 3U, 7U, 64U, 1000U}) {
                const auto opened = open_feed(std::make_unique<dripping>(data, step));
                std::vector<market_event> events;
                market_event event;
                while (opened->next(event)) {
                    events.push_back(event);
                }
                REQUIRE(events == expected);
            }
        }
    }
}
