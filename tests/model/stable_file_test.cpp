#include "daemon/model/stable_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/model/temporary_folder.hpp"

namespace shoal::model::stable_file_test {
namespace {

struct Fixture : tests::TemporaryFolder {
    const std::filesystem::path path = folder / "m.gguf";

    Fixture() { write("0123456789"); }
    // In place, as cp, curl and scp do.
    void write(const std::string& text) const {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    }
    // Files of this file system may have the same time when they were written at once.
    void age() const {
        std::filesystem::last_write_time(
            path, std::filesystem::last_write_time(path) - std::chrono::seconds(5));
    }
    static std::string read(const StableFile& file, std::uint64_t offset, std::size_t count) {
        std::vector<std::byte> out(count);
        file.read(offset, out);
        return {reinterpret_cast<const char*>(out.data()), out.size()};
    }
};

}  // namespace

TEST_SUITE("StableFile") {
    TEST_CASE_FIXTURE(Fixture, "reads what was asked for, in one run or row by row") {
        const StableFile file(path);
        CHECK(file.stamp().bytes == 10);
        CHECK(file.stamp() == FileStamp::of(path));
        CHECK(read(file, 3, 4) == "3456");
        std::string rows(6, ' ');
        file.read(1, 3, 2, 3, reinterpret_cast<std::byte*>(rows.data()));
        CHECK(rows == "124578");
        file.expect(0, 10);
        CHECK_FALSE(*file.failed());
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is changed in place is never read as what it was") {
        age();
        const StableFile file(path);
        write("abcdefghij");
        CHECK_THROWS_WITH_AS(read(file, 3, 4), doctest::Contains("m.gguf: was changed"),
                             FileFailed);
        CHECK(*file.failed());
        CHECK_THROWS_AS(file.check(), FileFailed);
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is cut short is an error, not the end of the process") {
        const StableFile file(path);
        std::filesystem::resize_file(path, 5);
        CHECK_THROWS_WITH_AS(read(file, 4, 4), doctest::Contains("cut short"), FileFailed);
        // Also where the bytes are still there.
        CHECK_THROWS_AS(read(file, 0, 4), FileFailed);
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is renamed, replaced or removed stays what it was") {
        const StableFile file(path);
        std::filesystem::rename(path, folder / "other");
        CHECK(read(file, 0, 10) == "0123456789");
        write("abcdefghij");
        std::filesystem::rename(path, folder / "other");
        CHECK(read(file, 0, 10) == "0123456789");
    }

    TEST_CASE_FIXTURE(Fixture, "a file that is not the one of a stamp has failed") {
        const FileStamp stamp = FileStamp::of(path);
        CHECK_NOTHROW(StableFile(path, stamp));
        age();
        CHECK_THROWS_AS(StableFile(path, stamp), FileFailed);
        std::filesystem::remove(path);
        CHECK_THROWS_AS(StableFile(path, stamp), FileFailed);
    }

    TEST_CASE_FIXTURE(Fixture, "only plain files have a stamp") {
        CHECK_THROWS_AS(FileStamp::of(folder), ModelError);
        CHECK_THROWS_AS(FileStamp::of(folder / "missing"), ModelError);
        REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
        CHECK_THROWS_AS(FileStamp::of(folder / "pipe"), ModelError);
    }
}

}  // namespace shoal::model::stable_file_test
