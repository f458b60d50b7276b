// SPDX-License-Identifier: Apache-2.0
//
// on_postgres PROGRAM OUTPUT: starts a server of its own and runs PROGRAM with its DATABASE_URL.
// Exit 0 if that ended with 0 and printed the line OUTPUT, 77 where no server can be started.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include <postgres_server.hpp>

namespace {

struct pipe_closer {
    void operator()(std::FILE* stream) const noexcept { ::pclose(stream); }
};

int run(const std::string& program, const std::string& wanted) {
    const ropeway_test::postgres_server server;
    ::setenv("DATABASE_URL", server.url_tcp().c_str(), 1);
    std::unique_ptr<std::FILE, pipe_closer> output{::popen(program.c_str(), "r")};
    if (output == nullptr) {
        std::perror("popen");
        return 1;
    }
    std::string printed;
    for (int byte = std::fgetc(output.get()); byte != EOF; byte = std::fgetc(output.get())) {
        printed += static_cast<char>(byte);
    }
    const int status = ::pclose(output.release());
    std::printf("%s", printed.c_str());
    return status == 0 && printed == wanted + "\n" ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: on_postgres PROGRAM OUTPUT\n");
        return 2;
    }
    if (const std::string why = ropeway_test::postgres_server::why_unavailable(); !why.empty()) {
        const char* const ci = std::getenv("CI");
        std::fprintf(stderr, "skipped: %s\n", why.c_str());
        return ci != nullptr && std::string_view{ci} == "true" ? 1 : 77;
    }
    try {
        return run(argv[1], argv[2]);
    } catch (const std::exception& failed) {
        std::fprintf(stderr, "%s\n", failed.what());
        return 1;
    }
}
