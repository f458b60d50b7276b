// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <spdlog/async.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>
#include <ropeway/runtime/logging.hpp>
#include <ropeway_test.hpp>

#include "log_test_support.hpp"

using namespace ropeway_test;
using ropeway::log_level;
using ropeway::logger;
using ropeway::logging_params;

namespace {

/// Sends one of this process's standard descriptors into a file while it lives.
class redirected {
  public:
    redirected(int descriptor, const std::string& path)
        : descriptor_(descriptor), saved_(::dup(descriptor)) {
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ::dup2(file, descriptor_);
        ::close(file);
    }
    redirected(const redirected&) = delete;
    redirected& operator=(const redirected&) = delete;
    ~redirected() {
        ::dup2(saved_, descriptor_);
        ::close(saved_);
    }

  private:
    int descriptor_;
    int saved_;
};

/// Lets a file of this process grow to `bytes` only, while it lives.
class file_size_limit {
  public:
    explicit file_size_limit(rlim_t bytes) {
        std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit now{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &now);
    }
    file_size_limit(const file_size_limit&) = delete;
    file_size_limit& operator=(const file_size_limit&) = delete;
    ~file_size_limit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

  private:
    rlimit before_{};
};

}  // namespace

TEST_CASE("without a sink nothing is written and no thread is made") {
    const temporary_folder folder;
    const std::size_t before = threads_now();
    std::size_t during = 0;
    bool took = true;
    std::fflush(nullptr);
    {
        const redirected out{STDOUT_FILENO, folder.file("out")};
        const redirected error{STDERR_FILENO, folder.file("error")};
        logger log;
        took = log.enabled(log_level::error) || log.write(log_level::error, "nobody listens");
        during = threads_now();
    }
    CHECK_FALSE(took);
    CHECK(during == before);
    CHECK(lines_of(folder.file("out")).empty());
    CHECK(lines_of(folder.file("error")).empty());
}

TEST_CASE("standard error is written only when asked for") {
    const temporary_folder folder;
    {
        const redirected error{STDERR_FILENO, folder.file("error")};
        logging_params params;
        params.to_standard_error = true;
        logger log{std::move(params)};
        log.write(log_level::info, "asked");
    }
    {
        const redirected error{STDERR_FILENO, folder.file("quiet")};
        logging_params params;
        params.file = folder.file("log");
        logger log{std::move(params)};
        log.write(log_level::info, "to the file");
    }
    CHECK(lines_of(folder.file("error")).size() == 1);
    CHECK(lines_of(folder.file("quiet")).empty());
    CHECK(lines_of(folder.file("log")).size() == 1);
}

TEST_CASE("lines are appended to the file, and all sinks get each line") {
    const temporary_folder folder;
    lines caught;
    for (int run = 0; run < 2; ++run) {
        logging_params params = caught_in(caught, {});
        params.file = folder.file("log");
        logger log{std::move(params)};
        log.write(log_level::info, "run", {{"number", run}});
    }
    CHECK(lines_of(folder.file("log")) == caught);
    REQUIRE(caught.size() == 2);
    CHECK(parsed(caught[1])["number"] == 1);
}

TEST_CASE("a file that cannot be opened is a typed error with its path and the remedy") {
    const temporary_folder folder;
    logging_params params;
    params.file = folder.file("missing/log");
    try {
        const logger log{params};
        FAIL("accepted");
    } catch (const ropeway::logging_error& error) {
        CHECK(error.path() == folder.file("missing/log"));
        CHECK(error.error_number() == ENOENT);
        CHECK(std::string{error.what()} ==
              "cannot open the log file '" + folder.file("missing/log") +
                  "': No such file or directory. Create its folder and make it writable, or name "
                  "another file in logging_params::file (empty: no file)");
    }
}

TEST_CASE("a full disk is counted and does not stop the log") {
    lines caught;
    {
        logging_params params = caught_in(caught, {});
        params.file = "/dev/full";
        logger log{std::move(params)};
        for (int i = 0; i < 5; ++i) {
            log.write(log_level::info, "no room");
        }
        CHECK(log.flush(5s));
        CHECK(log.stats().write_errors == 5);
    }
    REQUIRE(caught.size() == 6);
    CHECK(parsed(caught[5])["write_errors"] == 5);
}

TEST_CASE("a disk that fills up in the middle of a line leaves no half line behind") {
    const temporary_folder folder;
    lines caught;
    {
        logging_params params = caught_in(caught, {});
        params.file = folder.file("log");
        logger log{std::move(params)};
        log.write(log_level::info, "first");
        CHECK(log.flush(5s));
        {
            const file_size_limit limit{100};
            log.write(log_level::info, "cut by the limit in the middle of its line");
            CHECK(log.flush(5s));
        }
        log.write(log_level::info, "room again");
        CHECK(log.flush(5s));
        CHECK(log.stats().write_errors == 1);
    }
    const lines kept = lines_of(folder.file("log"));
    REQUIRE(kept.size() == 3);
    CHECK(parsed(kept[0])["message"] == "first");
    CHECK(parsed(kept[1])["message"] == "room again");
    CHECK(parsed(kept[2])["write_errors"] == 1);
}

TEST_CASE("a callback that throws is counted and called again") {
    int calls = 0;
    logging_params params;
    params.callback = [&](log_level, std::string_view) {
        if (++calls < 3) {
            throw 7;
        }
    };
    {
        logger log{std::move(params)};
        for (int i = 0; i < 3; ++i) {
            log.write(log_level::info, "m");
        }
        CHECK(log.flush(5s));
        CHECK(log.stats().write_errors == 2);
    }
    CHECK(calls == 4);  // three, and the last line that tells the errors
}

TEST_CASE("the log's thread bears its name and is gone with the log") {
    const std::size_t before = threads_now();
    std::string name;
    {
        logging_params params;
        params.thread_name = "a name of more than fifteen characters";
        params.callback = [&](log_level level, std::string_view) {
            char text[16]{};
            pthread_getname_np(pthread_self(), text, sizeof(text));
            name = std::string{text} + " " + std::string{to_string(level)};
        };
        logger log{std::move(params)};
        log.write(log_level::error, "m");
    }
    CHECK(name == "a name of more  error");
    CHECK(threads_left(before) == before);
}

TEST_CASE("spdlog's own registry, default logger and thread pool stay untouched") {
    const auto mine =
        std::make_shared<spdlog::logger>("mine", std::make_shared<spdlog::sinks::null_sink_mt>());
    spdlog::set_default_logger(mine);
    lines caught;
    {
        logger log{caught_in(caught, {})};
        log.write(log_level::info, "m");
        CHECK(log.flush(5s));
        CHECK(spdlog::get("rw-log") == nullptr);
        CHECK(spdlog::thread_pool() == nullptr);
        CHECK(spdlog::default_logger() == mine);
    }
    CHECK(caught.size() == 1);
}
