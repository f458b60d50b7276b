// SPDX-License-Identifier: Apache-2.0
//
// Mutated inputs: whatever the bytes, a feed ends cleanly or with an error that says where and what
// to do. A million of them under AddressSanitizer, fewer elsewhere; ROPEWAY_MUTATIONS overrides.
#include <ropeway/runtime/feed_files.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <ropeway_test.hpp>

#include "feed_bytes_for_tests.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::uint64_t default_mutations = 1'000'000;
#elif defined(__SANITIZE_THREAD__)
constexpr std::uint64_t default_mutations = 20'000;
#else
constexpr std::uint64_t default_mutations = 200'000;
#endif

std::uint64_t wanted_mutations() {
    std::uint64_t count = default_mutations;
    if (const char* const text = std::getenv("ROPEWAY_MUTATIONS"); text != nullptr) {
        std::from_chars(text, text + std::strlen(text), count);
    }
    return count;
}

class random_numbers {
  public:
    explicit random_numbers(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        state_ ^= state_ << 13U;
        state_ ^= state_ >> 7U;
        state_ ^= state_ << 17U;
        return state_;
    }
    std::size_t below(std::size_t bound) { return next() % bound; }

  private:
    std::uint64_t state_;
};

/// One to four changes: flip a bit, set an interesting byte, remove, double, insert, cut.
bytes mutated(bytes data, random_numbers& random) {
    constexpr std::array interesting{'\0', '\x01', '\x7f', '\x80', '\xff',
                                     '\n', ',',    '.',    '9',    '-'};
    const auto changes = 1 + random.below(4);
    for (std::size_t i = 0; i < changes && !data.empty(); ++i) {
        const auto at = random.below(data.size());
        const auto length = std::min(1 + random.below(8), data.size() - at);
        switch (random.below(8)) {
            case 0:
            case 1:
            case 2: data[at] = static_cast<char>(data[at] ^ (1 << random.below(8))); break;
            case 3:
            case 4: data[at] = interesting[random.below(interesting.size())]; break;
            case 5: data.erase(at, length); break;
            case 6: data.insert(at, data.substr(at, length)); break;
            default: data.resize(at); break;
        }
    }
    return data;
}

struct tally {
    std::uint64_t clean = 0;
    std::uint64_t failed = 0;
    std::uint64_t wrong = 0;  ///< an error without text, a falling stamp, an id beyond the table
};

void read_one(const bytes& data, bool verify, market_event& event, tally& seen) {
    // on the heap at its exact size: a read behind it is seen
    const std::unique_ptr<char[]> exact = std::make_unique<char[]>(data.size());
    std::copy(data.begin(), data.end(), exact.get());
    const std::span<const char> window(exact.get(), data.size());
    try {
        const auto opened = open_feed(borrow_bytes(std::as_bytes(window), "mutated"),
                                      {.max_instruments = 16, .verify_checksums = verify});
        std::int64_t latest = INT64_MIN;
        while (opened->next(event)) {
            const bool right = event.receive_ns >= latest && !is_critical(event.kind) &&
                               event.instrument <= opened->instruments().size();
            seen.wrong += right ? 0U : 1U;
            latest = event.receive_ns;
        }
        seen.wrong += opened->stats().events > 0 ? 0U : 1U;
        ++seen.clean;
    } catch (const feed_error& error) {
        const std::string text = error.what();
        const bool right = text.find("mutated") != std::string::npos && !error.remedy().empty() &&
                           text.find('\n') == std::string::npos;
        seen.wrong += right ? 0U : 1U;
        ++seen.failed;
    }
}

tally read_mutations(const bytes& whole, std::uint64_t count, std::uint64_t seed) {
    random_numbers random(seed);
    tally seen;
    market_event event;
    for (std::uint64_t i = 0; i < count; ++i) {
        read_one(mutated(whole, random), i % 4 == 0, event, seen);
    }
    return seen;
}

void check(const tally& seen, std::uint64_t count) {
    CHECK(seen.wrong == 0);
    CHECK(seen.clean + seen.failed == count);
    CHECK(seen.failed > count / 4);
}

}  // namespace

TEST_CASE("mutated CSV files end cleanly or in a clear error") {
    const auto count = wanted_mutations() * 4 / 10;
    const auto seen = read_mutations(small_csv(), count, 11);
    check(seen, count);
}

TEST_CASE("mutated pcap files end cleanly or in a clear error") {
    const auto count = wanted_mutations() * 4 / 10;
    const auto seen = read_mutations(small_pcap(), count, 12);
    check(seen, count);
    CHECK(seen.clean > 0);
}

TEST_CASE("mutated gzip files end cleanly or in a clear error") {
    const auto count = wanted_mutations() / 10;
    check(read_mutations(gzip(small_csv()), count, 13), count);
    check(read_mutations(gzip(small_pcap()), count, 14), count);
}
