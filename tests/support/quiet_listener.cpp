// SPDX-License-Identifier: Apache-2.0
//
// The library writes nothing to standard output or standard error. Linked into a test program, this
// proves it for the program's whole run: descriptors 1 and 2 are a file, looked at after each test
// case, and one byte in it fails the program (exit code 86). What Catch2 reports, what a test says
// through say() and what a sanitizer finds go to copies of the descriptors. Which programs
// are linked with it: see ropeway_add_test().
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <new>
#include <streambuf>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#endif
#include <ropeway_test.hpp>

extern "C" {
// Present in sanitized programs alone.
[[gnu::weak]] void __sanitizer_set_report_fd(void* descriptor);
}

namespace {

constexpr int not_quiet_exit_code = 86;

void write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t done = ::write(descriptor, text.data(), text.size());
        if (done <= 0) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(done));
    }
}

/// An unbuffered stream to a descriptor.
class descriptor_buffer final : public std::streambuf {
  public:
    explicit descriptor_buffer(int descriptor) : descriptor_(descriptor) {}

  protected:
    int overflow(int c) override {
        if (c != traits_type::eof()) {
            const char byte = static_cast<char>(c);
            write_all(descriptor_, {&byte, 1});
        }
        return 0;
    }
    std::streamsize xsputn(const char* text, std::streamsize size) override {
        write_all(descriptor_, {text, static_cast<std::size_t>(size)});
        return size;
    }

  private:
    int descriptor_;
};

/// Descriptors 1 and 2, watched from before main() to the end of the run.
class watch {
  public:
    watch() {
        ropeway_test::own_output = ::fcntl(1, F_DUPFD_CLOEXEC, 100);
        ropeway_test::own_errors = ::fcntl(2, F_DUPFD_CLOEXEC, 100);
        file_ = ::memfd_create("quiet", MFD_CLOEXEC);
        ::dup2(file_, 1);
        ::dup2(file_, 2);
        // Catch2 makes its reporter's stream out of what std::cout has when main() begins; from the
        // first test case on std::cout is watched like the rest.
        reports_to_ = std::make_unique<descriptor_buffer>(ropeway_test::own_output);
        standard_ = std::cout.rdbuf(reports_to_.get());
        if (__sanitizer_set_report_fd != nullptr) {
            __sanitizer_set_report_fd(
                reinterpret_cast<void*>(static_cast<std::intptr_t>(ropeway_test::own_errors)));
        }
    }
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;

    void begin() { std::cout.rdbuf(standard_); }

    /// Tells what was written since the last look, and remembers that something was.
    void look(const std::string& where) {
        std::cout.flush();
        std::fflush(nullptr);
        std::string text;
        std::array<char, 4096> some{};
        for (ssize_t got = 0; (got = ::pread(file_, some.data(), some.size(), seen_)) > 0;
             seen_ += got) {
            text.append(some.data(), static_cast<std::size_t>(got));
        }
        if (!text.empty()) {
            found_ = true;
            write_all(ropeway_test::own_errors,
                      "not quiet: descriptor 1 or 2 was written to in \"" + where + "\":\n" + text +
                          "\nA test's own lines go through ropeway_test::say().\n");
        }
    }

    [[nodiscard]] bool found() const { return found_; }

  private:
    int file_ = -1;
    off_t seen_ = 0;
    bool found_ = false;
    std::unique_ptr<descriptor_buffer> reports_to_;
    std::streambuf* standard_ = nullptr;
};

/// Never destroyed: Catch2's reporters write through it until the program's last lines.
watch& watched() {
    alignas(watch) static std::array<std::byte, sizeof(watch)> storage;
    static watch& only = *::new (storage.data()) watch;
    return only;
}

/// Before main(), thus before Catch2 looks at std::cout.
[[maybe_unused]] const watch& early = watched();

#if __has_include(<catch2/catch_all.hpp>)
using listener_base = Catch::EventListenerBase;
std::string name_of(const Catch::TestCaseStats& stats) { return stats.testInfo->name; }
#else
using listener_base = Catch::TestEventListenerBase;
std::string name_of(const Catch::TestCaseStats& stats) { return stats.testInfo.name; }
#endif

class quiet_listener final : public listener_base {
  public:
    using listener_base::listener_base;

    void testRunStarting(const Catch::TestRunInfo&) override { watched().begin(); }
    void testCaseEnded(const Catch::TestCaseStats& of) override { watched().look(name_of(of)); }
    void testRunEnded(const Catch::TestRunStats&) override {
        watched().look("the run's end");
        if (watched().found()) {
            // After main(), whatever it returned; before it Catch2 has its report to finish.
            std::atexit([] {
                std::fflush(nullptr);
                ::_exit(not_quiet_exit_code);
            });
        }
    }
};

}  // namespace

CATCH_REGISTER_LISTENER(quiet_listener)
