// SPDX-License-Identifier: Apache-2.0
//
// A user's program that links ropeway::core and nothing else: it uses the library, and shows that
// its malloc is still libc's and that none of the upper layers' libraries came along.
#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <cstring>
#include <ropeway/pool/version.hpp>
#include <string>

namespace {

int note_object(dl_phdr_info* object, std::size_t /*size*/, void* names) {
    *static_cast<std::string*>(names) += std::string(object->dlpi_name) + "\n";
    return 0;
}

/// True if every unwanted library is absent from the objects this process has loaded.
bool loads_the_core_alone() {
    std::string loaded;
    dl_iterate_phdr(&note_object, &loaded);
    if (loaded.find("libc.so") == std::string::npos) {
        std::fprintf(stderr, "libc itself is not among the loaded objects:\n%s", loaded.c_str());
        return false;
    }
    for (const char* unwanted : {"libmimalloc", "libspdlog", "libfmt", "libz.so", "libpq",
                                 "libsqlite3", "libtbbmalloc_proxy", "libcurl", "libprometheus"}) {
        if (loaded.find(unwanted) != std::string::npos) {
            std::fprintf(stderr, "%s came along:\n%s", unwanted, loaded.c_str());
            return false;
        }
    }
    return true;
}

/// True if the symbol that this process resolves lives in libc.
bool is_from_libc(const char* symbol) {
    Dl_info where{};
    void* address = dlsym(RTLD_DEFAULT, symbol);
    if (address == nullptr || dladdr(address, &where) == 0) return false;
    if (std::strstr(where.dli_fname, "libc.so") != nullptr) return true;
    std::fprintf(stderr, "%s comes from %s\n", symbol, where.dli_fname);
    return false;
}

}  // namespace

int main() {
    if (ropeway::version().empty()) return 1;
    if (!loads_the_core_alone()) return 1;
    for (const char* symbol : {"malloc", "free", "realloc", "posix_memalign"}) {
        if (!is_from_libc(symbol)) return 1;
    }
    std::puts("malloc is libc's; only the core is loaded");
    return 0;
}
