#include "mesh/disk/whole_file.hpp"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/model/temporary_folder.hpp"

namespace whole_file_test {

namespace {

// What is asked of the disk, in order; and after how much of it this process ends, as if the power
// went. 0: never.
std::vector<std::string> asked;
std::size_t last_asked = 0;

void ask(std::string what) {
    asked.push_back(std::move(what));
    if (asked.size() == last_asked) ::_exit(0);
}

}  // namespace

}  // namespace whole_file_test

// These stand before the C library's in this program.
extern "C" {

int fsync(int fd) {
    using namespace whole_file_test;
    struct stat info {};
    ask(::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode) ? "flush folder" : "flush file");
    static const auto real = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_NEXT, "fsync"));
    return real(fd);
}

int rename(const char* from, const char* to) noexcept {
    using namespace whole_file_test;
    ask("rename");
    static const auto real =
        reinterpret_cast<int (*)(const char*, const char*)>(::dlsym(RTLD_NEXT, "rename"));
    return real(from, to);
}

int link(const char* from, const char* to) noexcept {
    using namespace whole_file_test;
    ask("link");
    static const auto real =
        reinterpret_cast<int (*)(const char*, const char*)>(::dlsym(RTLD_NEXT, "link"));
    return real(from, to);
}

ssize_t write(int fd, const void* bytes, size_t size) {
    using namespace whole_file_test;
    if (fd > STDERR_FILENO) ask("write");
    static const auto real =
        reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(::dlsym(RTLD_NEXT, "write"));
    return real(fd, bytes, size);
}
}

namespace whole_file_test {

using namespace shoal;
namespace fs = std::filesystem;

namespace {

struct Fixture {
    tests::TemporaryFolder temporary;
    const fs::path folder = temporary.folder;
    const fs::path path = folder / "key";

    Fixture() { asked.clear(); }

    std::string content() const {
        std::ifstream in(path);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    auto files() const { return std::distance(fs::directory_iterator(folder), {}); }
};

/// Runs `write` in a process that ends after its n-th wish to the disk. False when it had no more.
template <class F>
bool ends_after(std::size_t wishes, F&& write) {
    const pid_t child = ::fork();
    if (child == 0) {
        asked.clear();
        last_asked = wishes;
        write();
        ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_SUITE("whole file") {
    TEST_CASE_FIXTURE(Fixture,
                      "the content is on the disk before the name, the name before the end") {
        disk::replace_file(path, "new", 0600);
        CHECK(asked == std::vector<std::string>{"write", "flush file", "rename", "flush folder"});
        asked.clear();
        fs::remove(path);
        CHECK(disk::create_file(path, "new", 0600));
        CHECK(asked == std::vector<std::string>{"write", "flush file", "link", "flush folder"});
    }

    TEST_CASE_FIXTURE(Fixture,
                      "whenever the process ends, the file is the old one or the new one") {
        const std::string old(100'000, 'o'), fresh(200'000, 'n');
        disk::replace_file(path, old, 0600);
        std::size_t wishes = 1;
        for (; ends_after(wishes, [&] { disk::replace_file(path, fresh, 0600); }); ++wishes) {
            CAPTURE(wishes);
            CHECK((content() == old || content() == fresh));
        }
        CHECK(wishes == 5);
        CHECK(content() == fresh);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "whenever the process ends, a file that was not there is whole or absent") {
        const std::string fresh(200'000, 'n');
        for (std::size_t wishes = 1;
             ends_after(wishes, [&] { static_cast<void>(disk::create_file(path, fresh, 0600)); });
             ++wishes) {
            CAPTURE(wishes);
            CHECK((!fs::exists(path) || content() == fresh));
            fs::remove(path);
        }
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a file is made once, replaced whole, and leaves nothing beside it") {
        CHECK(disk::create_file(path, "one", 0600));
        CHECK_FALSE(disk::create_file(path, "two", 0600));
        CHECK(content() == "one");
        disk::replace_file(path, "three", 0640);
        CHECK(content() == "three");
        CHECK(files() == 1);
        struct stat info {};
        REQUIRE(::stat(path.c_str(), &info) == 0);
        CHECK((info.st_mode & 0777) == 0640);
    }

    TEST_CASE_FIXTURE(Fixture, "what is not finished is removed") {
        {
            disk::WholeFile file(path, 0600);
            file.append("half");
            CHECK(files() == 1);
        }
        CHECK(files() == 0);
    }

    TEST_CASE_FIXTURE(Fixture,
                      "a disk without room is an error with the reason, and leaves the old file") {
        disk::replace_file(path, "old", 0600);
        rlimit before{};
        ::getrlimit(RLIMIT_FSIZE, &before);
        const rlimit small{10, before.rlim_max};
        const auto handler = std::signal(SIGXFSZ, SIG_IGN);
        ::setrlimit(RLIMIT_FSIZE, &small);
        std::string error;
        try {
            disk::replace_file(path, std::string(100, 'x'), 0600);
        } catch (const std::runtime_error& e) {
            error = e.what();
        }
        ::setrlimit(RLIMIT_FSIZE, &before);
        std::signal(SIGXFSZ, handler);
        CHECK(error == "cannot write " + path.string() + ": File too large");
        CHECK(content() == "old");
        CHECK(files() == 1);
    }

    TEST_CASE_FIXTURE(Fixture, "a folder that is not there, and a folder in the file's place") {
        CHECK_THROWS_WITH(disk::replace_file(folder / "no" / "file", "x", 0600),
                          doctest::Contains("No such file or directory"));
        fs::create_directory(path);
        CHECK_THROWS_WITH(disk::replace_file(path, "x", 0600), doctest::Contains("cannot replace"));
        CHECK(files() == 1);
        CHECK(disk::flush_folder(folder) == 0);
        CHECK(disk::flush_folder(folder / "no") == ENOENT);
    }
}

}  // namespace whole_file_test
