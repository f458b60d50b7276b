// SPDX-License-Identifier: Apache-2.0
#include <ropeway/consumer/throw_site.hpp>

#include <stdexcept>

#include <ropeway_test.hpp>

TEST_CASE("an empty stack renders as nothing, and an unknown address as a number") {
    ropeway::captured_stack stack;
    CHECK(ropeway::render_stack(stack).empty());
    stack.depth = 1;
    stack.frames[0] = reinterpret_cast<void*>(std::uintptr_t{0x1234});
    CHECK(ropeway::render_stack(stack) == "#0 0x1234");
    stack.depth = 99;  // a torn record: bounded by the array
    stack.frames[0] = reinterpret_cast<void*>(std::uintptr_t{0});
    CHECK(ropeway::render_stack(stack).substr(0, 7) == "#0 0x0\n");
}

TEST_CASE("without the component a throw leaves an empty stack") {
    if (ropeway::throw_sites_linked()) {
        SUCCEED("ropeway::throw_sites is linked by ROPEWAY_THROW_SITES");
        return;
    }
    try {
        throw std::runtime_error("not captured");
    } catch (const std::exception&) {
        CHECK(ropeway::last_throw().depth == 0);
    }
    CHECK(ropeway::last_throw().depth == 0);
}
