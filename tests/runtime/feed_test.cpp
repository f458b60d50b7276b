// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/feed.hpp>

#include <ropeway_test.hpp>

#include "feed_bytes_for_tests.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

/// Two events, then an error or the end.
class counted_feed final : public feed {
  public:
    explicit counted_feed(bool fails) : fails_(fails) {}
    const instrument_table& instruments() const noexcept override { return table_; }
    std::string description() const override { return "counted"; }

  protected:
    bool read(market_event& out) override {
        if (++reads_ <= 2) {
            out.kind = reads_ == 1 ? event_kind::trade : event_kind::quote;
            out.receive_ns = reads_ * 10;
            return true;
        }
        if (fails_) {
            throw feed_error(feed_fault::corrupt, {"here", 5, 3}, "is wrong", "x", "repair it");
        }
        return false;
    }

  private:
    bool fails_;
    int reads_ = 0;
    instrument_table table_{1};
};

}  // namespace

namespace {

template <class Bytes>
concept can_be_borrowed = requires(Bytes&& data) {
    borrow_bytes(std::forward<Bytes>(data), "memory");
};

static_assert(can_be_borrowed<std::span<const std::byte>>);
static_assert(can_be_borrowed<std::vector<std::byte>&>);
static_assert(can_be_borrowed<const std::vector<std::byte>&>);
static_assert(!can_be_borrowed<std::vector<std::byte>>, "the bytes would be gone");
static_assert(!can_be_borrowed<std::array<std::byte, 4>>, "the bytes would be gone");

}  // namespace

TEST_CASE("a feed counts its events by kind and remembers the first and last stamp") {
    counted_feed source(false);
    market_event event;
    while (source.next(event)) {
    }
    const auto stats = source.stats();
    CHECK(stats.events == 2);
    CHECK(stats.of(event_kind::trade) == 1);
    CHECK(stats.of(event_kind::quote) == 1);
    CHECK(stats.first_receive_ns == 10);
    CHECK(stats.last_receive_ns == 20);
}

TEST_CASE("the end of a feed stays the end") {
    counted_feed source(false);
    market_event event;
    while (source.next(event)) {
    }
    CHECK_FALSE(source.next(event));
    CHECK_FALSE(source.next(event));
}

TEST_CASE("a feed that failed fails again, and is never taken for one that ended") {
    counted_feed source(true);
    market_event event;
    CHECK(source.next(event));
    CHECK(source.next(event));
    for (int i = 0; i < 3; ++i) {
        try {
            static_cast<void>(source.next(event));
            FAIL("no error");
        } catch (const feed_error& error) {
            CHECK(error.fault() == feed_fault::corrupt);
            CHECK(std::string(error.what()) == "here, line 3, byte 5: is wrong: 'x'; repair it");
        }
    }
    CHECK(source.stats().events == 2);
}

TEST_CASE("an error is one printable line however the value looks") {
    const feed_error error(feed_fault::bad_value, {"f\n"}, "bad",
                           std::string("\x01\xff\n", 3) + "ok", "do");
    CHECK(std::string(error.what()) == "f\\x0a: bad: '\\x01\\xff\\x0aok'; do");
    CHECK(error.value() == "\\x01\\xff\\x0aok");
    const feed_error longer(feed_fault::bad_value, {}, "bad", std::string(200, 'a'), "");
    CHECK(longer.value() == std::string(80, 'a') + "...");
    CHECK(to_string(feed_fault::too_many_instruments) == "too_many_instruments");
}

TEST_CASE("an instrument table gives dense ids from 1 in order of appearance, up to its bound") {
    instrument_table table(2);
    CHECK(table.id_of("A") == 1);
    CHECK(table.id_of("B") == 2);
    CHECK(table.id_of("A") == 1);
    CHECK(table.id_of("C") == 0);
    CHECK(table.find("B") == 2);
    CHECK(table.find("C") == 0);
    CHECK(table.name_of(2) == "B");
    CHECK(table.name_of(0).empty());
    CHECK(table.name_of(3).empty());
    CHECK(table.size() == 2);
    instrument_table moved(std::move(table));
    CHECK(moved.find("A") == 1);
    CHECK(moved.name_of(1) == "A");
}

TEST_CASE("an instrument table keeps its names apart while it grows") {
    instrument_table table(5000);
    for (std::uint32_t i = 1; i <= 5000; ++i) {
        REQUIRE(table.id_of(std::to_string(i)) == i);
    }
    for (std::uint32_t i = 1; i <= 5000; ++i) {
        REQUIRE(table.name_of(i) == std::to_string(i));
    }
}

TEST_CASE("a missing file, a folder and an unreadable format are told apart") {
    const temporary_folder folder;
    const auto fault_of = [](const std::filesystem::path& path) {
        try {
            static_cast<void>(open_feed(path));
        } catch (const feed_error& error) {
            CHECK(std::string(error.what()).find(path.string()) != std::string::npos);
            return error.fault();
        }
        FAIL("opened");
        return feed_fault::corrupt;
    };
    CHECK(fault_of(folder.path() / "missing") == feed_fault::cannot_open);
    CHECK(fault_of(folder.path()) == feed_fault::cannot_open);
    CHECK(fault_of(folder.write("empty", "")) == feed_fault::empty);
    CHECK(fault_of(folder.write("text", "hello world")) == feed_fault::unknown_format);
    CHECK(fault_of(folder.write("ng", bytes("\x0a\x0d\x0d\x0a\x1c\0\0\0", 8))) ==
          feed_fault::unsupported);
    CHECK(fault_of(folder.write("packed text", gzip("hello world"))) == feed_fault::unknown_format);
    CHECK(fault_of(folder.write("packed nothing", gzip(""))) == feed_fault::empty);
}

TEST_CASE("a file on disk is opened by its content, whatever its name and packing") {
    const temporary_folder folder;
    for (const auto& [name, data, expected] :
         {std::tuple{"a.pcap", small_csv(), 3U}, std::tuple{"b.gz", small_csv(), 3U},
          std::tuple{"c.csv", gzip(small_csv()), 3U}, std::tuple{"d.csv", small_pcap(), 4U},
          std::tuple{"e", gzip(small_pcap()), 4U}}) {
        const auto opened = open_feed(folder.write(name, data));
        market_event event;
        std::size_t events = 0;
        while (opened->next(event)) {
            ++events;
        }
        CHECK(events == expected);
        CHECK(opened->description().find(name) != std::string::npos);
    }
}

TEST_CASE("a file of many blocks is read whole") {
    bytes rows = events_header;
    constexpr std::uint64_t count = 5000;
    for (std::uint64_t i = 0; i < count; ++i) {
        rows += std::to_string(1'700'000'000'000'000'000 + i * 1000) + ",1700000000000,trade,S,";
        rows += std::to_string(i) + "," + std::to_string(i) + ".5,1,,,1\r\n";
    }
    REQUIRE(rows.size() > 3 * 65536);
    const temporary_folder folder;
    const auto opened = open_feed(folder.write("many.csv", rows));
    market_event event;
    std::uint64_t events = 0;
    while (opened->next(event)) {
        REQUIRE(event.exchange_id == events);
        REQUIRE(event.price == static_cast<std::int64_t>(events) * price_scale + price_scale / 2);
        ++events;
    }
    CHECK(events == count);
}
