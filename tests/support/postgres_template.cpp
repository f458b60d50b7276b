// SPDX-License-Identifier: Apache-2.0
#include "postgres_template.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ropeway_test {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error{errno, std::generic_category(), what};
}

// A folder's name leaves room for "/.s.PGSQL.65535.lock" in the 107 bytes of a socket's address.
constexpr std::size_t longest_base = 70;

bool open_to_others(fs::path folder) {
    for (folder = fs::absolute(folder); folder != folder.root_path();
         folder = folder.parent_path()) {
        struct stat facts {};
        if (::stat(folder.c_str(), &facts) != 0 || (facts.st_mode & S_IXOTH) == 0) {
            return false;
        }
    }
    return true;
}

void give_to(const child_user& user, const fs::path& folder) {
    if (!user.change) {
        return;
    }
    if (::lchown(folder.c_str(), user.uid, user.gid) != 0) {
        fail("chown " + folder.string());
    }
    for (const auto& entry : fs::recursive_directory_iterator{folder}) {
        if (::lchown(entry.path().c_str(), user.uid, user.gid) != 0) {
            fail("chown " + entry.path().string());
        }
    }
}

void write_file(const fs::path& name, const std::string& text, std::ios::openmode how) {
    std::ofstream out{name, how};
    out << text;
    if (!out.flush()) {
        fail("write " + name.string());
    }
}

// Makes the data folder in a folder of the server's user, then moves it to where it is kept.
void make_template(const fs::path& kept) {
    const child_user user = server_user();
    const fs::path folder = make_server_folder(user);
    const std::string data = folder / "data";
    const std::string output = folder / "initdb.log";
    write_file(folder / "roles.sql",
               std::string{"CREATE ROLE rider LOGIN PASSWORD '"} + template_password +
                   "';\nALTER DATABASE postgres OWNER TO rider;\n",
               std::ios::out);
    give_to(user, folder);
    run_child({.command = {postgres_program("initdb"), "--pgdata=" + data, "--no-sync",
                           "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8",
                           "--locale=C", "--wal-segsize=1",
                           std::string{"--username="} + template_superuser},
               .output = output,
               .folder = folder,
               .user = user},
              2 * patience);
    const int roles = ::open((folder / "roles.sql").c_str(), O_RDONLY | O_CLOEXEC);
    run_child({.command = {postgres_program("postgres"), "--single", "-F", "-c",
                           "password_encryption=scram-sha-256", "-D", data, "postgres"},
               .output = output,
               .folder = folder,
               .input = roles,
               .user = user},
              2 * patience);
    ::close(roles);
    // A server's own settings lie beside its data folder, so that a copy needs no editing.
    write_file(fs::path{data} / "postgresql.conf",
               "\ninclude = '../ropeway.conf'\nautovacuum = off\n", std::ios::app);
    const fs::path half = kept.string() + ".half";
    fs::remove_all(half);
    fs::copy(data, half, fs::copy_options::recursive);
    fs::rename(half, kept);
    fs::remove_all(folder);
}

}  // namespace

std::string postgres_program(const std::string& name) {
    std::vector<std::pair<int, fs::path>> found;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator{"/usr/lib/postgresql", none}) {
        const fs::path program = entry.path() / "bin" / name;
        if (::access(program.c_str(), X_OK) == 0) {
            found.emplace_back(std::atoi(entry.path().filename().c_str()), program);
        }
    }
    if (!found.empty()) {
        return std::max_element(found.begin(), found.end())->second;
    }
    const char* search = std::getenv("PATH");
    std::string rest = search == nullptr ? "" : search;
    while (!rest.empty()) {
        const auto end = rest.find(':');
        const fs::path program = fs::path{rest.substr(0, end)} / name;
        if (::access(program.c_str(), X_OK) == 0) {
            return program;
        }
        rest = end == std::string::npos ? "" : rest.substr(end + 1);
    }
    return {};
}

std::string make_server_folder(const child_user& user) {
    const char* wish = std::getenv("TMPDIR");
    std::string base = wish == nullptr || *wish == '\0' ? "/tmp" : wish;
    if (base.size() > longest_base || (user.change && !open_to_others(base))) {
        base = "/tmp";
    }
    std::string folder = base + "/ropeway-pg-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) {
        fail("mkdtemp " + folder);
    }
    give_to(user, folder);
    return folder;
}

void copy_template(const std::string& data, const child_user& user) {
    // Kept in the build folder and named by the program it came from: another version, and another
    // user of this folder, makes its own.
    std::string version = postgres_program("initdb");
    std::replace(version.begin(), version.end(), '/', '_');
    version += '_' + std::to_string(::geteuid());
    const fs::path kept = fs::path{ROPEWAY_POSTGRES_TEMPLATE} / version;
    std::error_code refused;
    fs::create_directories(kept.parent_path(), refused);
    const std::string guard = kept.string() + ".lock";
    const int fd = ::open(guard.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        // A build folder that is not ours to write to: no template, only the slow way.
        make_template(data);
        give_to(user, data);
        return;
    }
    if (::flock(fd, LOCK_EX) != 0) {
        fail("lock " + guard);
    }
    if (!fs::exists(kept)) {
        make_template(kept);
    }
    ::close(fd);
    fs::copy(kept, data, fs::copy_options::recursive);
    give_to(user, data);
    if (::chmod(data.c_str(), S_IRWXU) != 0) {
        fail("chmod " + data);
    }
}

}  // namespace ropeway_test
