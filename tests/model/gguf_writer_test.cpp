#include "daemon/model/gguf_writer.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>

#include "kernels/kernels.hpp"
#include "tests/model/gguf_bytes.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::model::gguf_writer_test {
namespace {

using kernels::DType;

template <class F>
std::string error_of(F&& f) {
    try {
        f();
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return {};
}

std::vector<float> random_values(std::size_t count) {
    std::mt19937 random(7);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> values(count);
    for (float& value : values) value = uniform(random);
    return values;
}

std::size_t files_in(const std::filesystem::path& folder) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder),
                                                  std::filesystem::directory_iterator()));
}

/// Of a value in [-1, 1]: a step of four bits (2 / 15) or three (1 / 4), and a good half of one of
/// two bits (2 / 3), which the search for scales uses up.
float largest_error(DType type) {
    switch (type) {
        case DType::f32:
            return 0;
        case DType::q2_k:
            return 0.4F;
        case DType::q3_k:
            return 0.25F;
        default:
            return 0.14F;
    }
}

/// Files of this process cannot grow beyond a size; what a full disk does, without one.
class FileSizeLimit {
  public:
    explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
        const rlimit limited{bytes, before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
    }
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

  private:
    rlimit before_{};
    void (*handler_)(int);
};

}  // namespace

TEST_SUITE("gguf writer") {
    TEST_CASE_FIXTURE(tests::TemporaryFolder, "tensors of every type come back as written") {
        constexpr std::size_t kCols = 512;
        constexpr std::size_t kRows = 3;
        const std::vector<float> values = random_values(kCols * kRows);
        GgufWriter writer;
        for (const DType type : kernels::kDTypes) {
            writer.add_tensor_f32(kernels::name(type), type, kCols, kRows, values);
        }
        writer.write(folder / "m.gguf");

        const GgufFile file(folder / "m.gguf");
        CHECK(file.bytes() == writer.file_bytes());
        for (const DType type : kernels::kDTypes) {
            CAPTURE(std::string{kernels::name(type)});
            const TensorInfo& info = file.header().tensor(kernels::name(type));
            CHECK(info.type == type);
            CHECK(info.cols == kCols);
            CHECK(info.rows == kRows);
            CHECK(info.offset % 32 == 0);
            const std::size_t row_bytes = kernels::row_bytes(type, kCols);
            REQUIRE(info.bytes == kRows * row_bytes);
            const auto data = file.data(info);
            for (std::size_t row = 0; row < kRows; ++row) {
                std::vector<float> out(kCols, NAN);
                kernels::dequantize(type, data.data() + row * row_bytes, out.data(), kCols);
                const float tolerance = largest_error(type);
                for (std::size_t i = 0; i < kCols; ++i) {
                    CHECK(std::fabs(out[i] - values[row * kCols + i]) <= tolerance);
                }
            }
        }
    }

    TEST_CASE("a tensor may hold several matrices") {
        GgufWriter writer;
        writer.add_tensor_rows("three", DType::q8_0, 64, 15, nullptr, 3);
        writer.add_tensor_rows("one", DType::q8_0, 64, 15, nullptr);
        const GgufHeader header = tests::GgufBytes(writer).parse();
        CHECK(header.tensor("three").matrices == 3);
        CHECK(header.tensor("three").rows == 15);
        CHECK(header.tensor("one").matrices == 1);
        CHECK_THROWS_AS(writer.add_tensor_rows("uneven", DType::q8_0, 64, 15, nullptr, 4),
                        ModelError);
    }

    TEST_CASE("a later value of a key replaces the earlier one") {
        GgufWriter writer;
        writer.set("k", std::uint32_t{1});
        writer.set("other", std::uint32_t{2});
        writer.set("k", std::string{"three"});
        const tests::GgufBytes file(writer);
        CHECK(file.parse().metadata().size() == 2);
        CHECK(file.bytes().find("three") != std::string::npos);
    }

    TEST_CASE("what a reader would refuse is not accepted for writing") {
        GgufWriter writer;
        const std::vector<std::byte> data(64);
        CHECK(error_of([&] { writer.set("", true); }) ==
              "key '' cannot be written: it must be 1 to 65535 characters of printable ASCII");
        CHECK(error_of([&] { writer.set("general.alignment", std::uint32_t{64}); }) ==
              "key 'general.alignment' cannot be written: files are always aligned to 32 bytes");
        CHECK(error_of([&] { writer.add_tensor("a b", DType::f32, 16, 1, data); }) ==
              "tensor 'a b' cannot be written: its name must be 1 to 64 characters of printable "
              "ASCII");
        CHECK(error_of([&] { writer.add_tensor("t", DType{99}, 16, 1, data); }) ==
              "tensor 't' cannot be written: type 99 is not supported");
        CHECK(error_of([&] { writer.add_tensor("t", DType::f32, 0, 1, data); }) ==
              "tensor 't' cannot be written: 1 rows of 0 columns are no tensor");
        CHECK(error_of([&] { writer.add_tensor("t", DType::f32, ~0ULL, ~0ULL, data); }) ==
              "tensor 't' cannot be written: 18446744073709551615 rows of 18446744073709551615 "
              "columns are no tensor");
        CHECK(error_of([&] { writer.add_tensor("t", DType::q4_0, 33, 1, data); }) ==
              "tensor 't' cannot be written: rows of 33 elements are not whole q4_0 blocks of 32");
        CHECK(error_of([&] { writer.add_tensor("t", DType::f32, 15, 1, data); }) ==
              "tensor 't' cannot be written: 64 bytes of data instead of 60");
        CHECK(error_of([&] { writer.add_tensor_f32("t", DType::f32, 2, 2, {}); }) ==
              "tensor 't' cannot be written: 0 values instead of 2 x 2");
        writer.add_tensor("t", DType::f32, 16, 1, data);
        CHECK(error_of([&] { writer.add_tensor("t", DType::f32, 16, 1, data); }) ==
              "tensor 't' cannot be written: there is one of that name already");
        CHECK(tests::GgufBytes(writer).parse().tensors().size() == 1);
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "metadata is copied with its exact types") {
        tests::GgufBytes original(tests::sample_writer());
        // The writer has no 16-bit numbers of its own: make one of them out of a boolean's place.
        original.put<std::uint32_t>(original.key_type("k.bool"), 0);
        std::ofstream(folder / "a.gguf", std::ios::binary) << original.bytes();

        GgufWriter writer;
        const GgufFile file(folder / "a.gguf");
        writer.set("k.u32", std::string{"replaced"});
        writer.copy_metadata(file);
        writer.set("added", true);
        const tests::GgufBytes copy(writer);
        CHECK(copy.parse().metadata().size() == 13);  // without the alignment, with "added"
        CHECK(copy.get<std::uint32_t>(copy.key_type("k.bool")) == 0);
        // Bytes of type and value.
        const std::pair<std::string, std::size_t> keys[] = {
            {"k.u32", 8}, {"k.i32", 8}, {"k.f32", 8}, {"k.strings", 48}, {"k.unsigned", 32}};
        for (const auto& entry : keys) {
            const auto& [key, bytes] = entry;
            CAPTURE(entry.first);
            const std::size_t from = original.key_type(key);
            CHECK(copy.bytes().compare(copy.key_type(key), bytes, original.bytes(), from, bytes) ==
                  0);
        }
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "large tensors are made in parts") {
        constexpr std::uint64_t kCols = 1 << 20;
        constexpr std::uint64_t kRows = 10;  // of 4 MB each
        std::uint64_t next = 0;
        std::size_t largest = 0;
        GgufWriter writer;
        writer.add_tensor_rows(
            "t", DType::f32, kCols, kRows,
            [&](std::uint64_t first, std::uint64_t count, std::span<std::byte> out) {
                CHECK(first == next);
                CHECK(out.size() == count * kCols * 4);
                std::fill(out.begin(), out.end(), static_cast<std::byte>(first));
                next = first + count;
                largest = std::max(largest, out.size());
            });
        writer.write(folder / "m.gguf");
        CHECK(next == kRows);
        CHECK(largest < kCols * kRows * 4 / 2);
        const GgufFile file(folder / "m.gguf");
        CHECK(file.data(file.header().tensor("t")).back() == std::byte{8});
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "a full disk is an error and leaves the old file") {
        const auto path = folder / "m.gguf";
        std::ofstream(path) << "old";
        std::string error;
        {
            const FileSizeLimit limit(512);
            error = error_of([&] { tests::sample_writer().write(path); });
        }
        CHECK(error == "cannot write " + path.string() + ": File too large");
        CHECK(files_in(folder) == 1);
        std::string content;
        std::ifstream(path) >> content;
        CHECK(content == "old");
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "a tensor that cannot be made leaves no file") {
        GgufWriter writer;
        writer.add_tensor_rows("t", DType::f32, 1, 1,
                               [](auto, auto, auto) { throw std::runtime_error("no"); });
        CHECK_THROWS_WITH(writer.write(folder / "m.gguf"), "no");
        CHECK(files_in(folder) == 0);
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "a folder that is not there is an error") {
        const auto path = folder / "none" / "m.gguf";
        const std::string error = error_of([&] { tests::sample_writer().write(path); });
        CHECK(error ==
              "cannot create a file beside " + path.string() + ": No such file or directory");
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "files get the permissions that the umask leaves") {
        const mode_t mask = ::umask(027);
        tests::sample_writer().write(folder / "m.gguf");
        ::umask(mask);
        struct stat status {};
        REQUIRE(::stat((folder / "m.gguf").c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0640);
    }
}

}  // namespace shoal::model::gguf_writer_test
