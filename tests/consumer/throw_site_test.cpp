// SPDX-License-Identifier: Apache-2.0
#include <ropeway/consumer/throw_site.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ropeway/consumer/failure.hpp>
#include <ropeway_test.hpp>

namespace trading {

__attribute__((noipa)) void reject_order(int limit) {
    if (limit > 0) {
        throw std::runtime_error("limit");
    }
}

__attribute__((noipa)) int read_level(const std::vector<int>& levels, std::size_t at) {
    return levels.at(at) + 1;
}

__attribute__((noipa)) void throw_another() { throw 7; }

/// Throws and catches while another exception is under way.
struct noisy_cleanup {
    ~noisy_cleanup() {
        try {
            throw_another();
        } catch (int) {
        }
    }
};

__attribute__((noipa)) void reject_noisily() {
    const noisy_cleanup cleanup;
    throw std::logic_error("noisy");
}

__attribute__((noipa)) void descend(int levels) {
    if (levels == 0) {
        throw std::runtime_error("deep");
    }
    descend(levels - 1);
    asm volatile("");  // not a tail call
}

}  // namespace trading

namespace {

using ropeway::captured_stack;

template <class Throwing>
captured_stack stack_of(Throwing throwing) {
    try {
        throwing();
    } catch (...) {
        return ropeway::last_throw();
    }
    return {};
}

std::string first_line(const captured_stack& stack) {
    const std::string text = ropeway::render_stack(stack);
    return text.substr(0, text.find('\n'));
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("this program links the component") { REQUIRE(ropeway::throw_sites_linked()); }

TEST_CASE("the first frame names the function that threw") {
    const captured_stack stack = stack_of([] { trading::reject_order(1); });
    CHECK(stack.depth > 1);
    CHECK(stack.depth <= 16);
    CAPTURE(ropeway::render_stack(stack));
    CHECK(contains(first_line(stack), "#0 trading::reject_order(int)+0x"));
    CHECK(contains(first_line(stack), "(consumer_throw_site_test)"));
}

TEST_CASE("a throw inside the standard library names our function that called it") {
    const captured_stack stack = stack_of([] { trading::read_level({1, 2}, 5); });
    CAPTURE(ropeway::render_stack(stack));
    CHECK(contains(ropeway::render_stack(stack), "trading::read_level("));
}

TEST_CASE("a deep stack is cut at sixteen frames") {
    const captured_stack stack = stack_of([] { trading::descend(40); });
    CHECK(stack.depth == 16);
    CHECK(contains(first_line(stack), "trading::descend(int)"));
}

TEST_CASE("rethrowing keeps the first throw site") {
    const captured_stack stack = stack_of([] {
        try {
            trading::reject_order(1);
        } catch (...) {
            throw;
        }
    });
    CHECK(contains(first_line(stack), "trading::reject_order(int)"));
}

TEST_CASE("a destructor that throws and catches while the stack unwinds does not hide the site") {
    const captured_stack stack = stack_of([] { trading::reject_noisily(); });
    CHECK(contains(first_line(stack), "trading::reject_noisily()"));
}

TEST_CASE("an exception thrown by another thread gives no stack rather than a wrong one") {
    CHECK(stack_of([] { trading::reject_order(1); }).depth > 0);  // a throw of this thread before
    std::exception_ptr other;
    std::thread thread{[&] {
        try {
            trading::throw_another();
        } catch (...) {
            other = std::current_exception();
        }
    }};
    thread.join();
    CHECK(stack_of([&] { std::rethrow_exception(other); }).depth == 0);
}

TEST_CASE("each thread sees its own throw") {
    std::string theirs;
    std::thread thread{[&] { theirs = first_line(stack_of([] { trading::throw_another(); })); }};
    thread.join();
    const std::string ours = first_line(stack_of([] { trading::reject_order(1); }));
    CHECK(contains(theirs, "trading::throw_another()"));
    CHECK(contains(ours, "trading::reject_order(int)"));
}

TEST_CASE("a failure record holds a stack by value") {
    ropeway::failure_record record{};
    record.stack = stack_of([] { trading::reject_order(1); });
    const ropeway::failure_record copy = record;
    CHECK(stack_of([] { trading::throw_another(); }).depth > 0);
    CHECK(contains(first_line(copy.stack), "trading::reject_order(int)"));
}
