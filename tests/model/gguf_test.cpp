#include "daemon/model/gguf.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <variant>

#include "tests/model/gguf_bytes.hpp"
#include "tests/model/temporary_folder.hpp"

namespace shoal::model::gguf_test {
namespace {

using tests::GgufBytes;

template <class F>
std::string error_of(F&& f) {
    try {
        f();
    } catch (const ModelError& error) {
        return error.what();
    }
    return {};
}

template <class Item>
const std::vector<Item>& items(const GgufHeader& header, const char* key) {
    return std::get<std::vector<Item>>(header.find_array(key)->items);
}

/// Keeps the bytes that a header's views point into.
struct Parsed {
    std::string bytes = GgufBytes(tests::sample_writer()).bytes();
    GgufHeader header = GgufHeader::parse(std::as_bytes(std::span{bytes.data(), bytes.size()}),
                                          bytes.size(), "m.gguf");
};

}  // namespace

TEST_SUITE("gguf") {
    TEST_CASE_FIXTURE(Parsed, "values of every type are read back") {
        CHECK(header.get_bool_or("k.bool", false));
        CHECK(header.get_uint("k.u32") == 7);
        CHECK(std::get<std::int64_t>(*header.find("k.i32")) == -7);
        CHECK(header.get_uint("k.u64") == std::uint64_t{1} << 40);
        CHECK(header.get_float("k.f32") == 0.5);
        CHECK(header.get_float("k.f64") == 0.1);
        CHECK(header.get_string("k.string") == "some text");
        CHECK(items<std::string_view>(header, "k.strings") ==
              std::vector<std::string_view>{"one", "", "three"});
        CHECK(items<double>(header, "k.floats") == std::vector<double>{1, 2.5});
        CHECK(items<std::int64_t>(header, "k.signed") == std::vector<std::int64_t>{-1, 2, -3});
        CHECK(items<std::uint64_t>(header, "k.unsigned") == std::vector<std::uint64_t>{1, 2, 3, 4});
        CHECK(header.metadata().size() == 13);
    }

    TEST_CASE_FIXTURE(Parsed, "strings are views into the parsed bytes, not copies") {
        const auto inside = [this](std::string_view text) {
            return text.data() >= bytes.data() &&
                   text.data() + text.size() <= bytes.data() + bytes.size();
        };
        CHECK(inside(header.get_string("k.string")));
        for (const auto text : items<std::string_view>(header, "k.strings")) CHECK(inside(text));
    }

    TEST_CASE_FIXTURE(Parsed, "a missing key is an error or the fallback") {
        CHECK(error_of([&] { header.get_uint("x"); }) == "m.gguf: key 'x' is missing");
        CHECK(error_of([&] { header.get_float("x"); }) == "m.gguf: key 'x' is missing");
        CHECK(error_of([&] { header.get_string("x"); }) == "m.gguf: key 'x' is missing");
        CHECK(header.get_uint_or("x", 3) == 3);
        CHECK(header.get_float_or("x", 1.5) == 1.5);
        CHECK(header.get_bool_or("x", true));
        CHECK(header.get_string_or("x", "y") == "y");
        CHECK(header.find_array("x") == nullptr);
    }

    TEST_CASE_FIXTURE(Parsed, "a key of another type is an error that names both types") {
        CHECK(error_of([&] { header.get_uint_or("k.string", 1); }) ==
              "m.gguf: key 'k.string' is a string, expected an unsigned integer");
        CHECK(error_of([&] { header.get_uint("k.i32"); }) ==
              "m.gguf: key 'k.i32' is -7, expected an unsigned integer");
        CHECK(error_of([&] { header.get_float_or("k.strings", 1); }) ==
              "m.gguf: key 'k.strings' is an array, expected a float");
        CHECK(error_of([&] { header.get_bool_or("k.u32", false); }) ==
              "m.gguf: key 'k.u32' is an unsigned integer, expected a boolean");
        CHECK(error_of([&] { header.get_string_or("k.bool", ""); }) ==
              "m.gguf: key 'k.bool' is a boolean, expected a string");
        CHECK(error_of([&] { header.find_array("k.f32"); }) ==
              "m.gguf: key 'k.f32' is a float, expected an array");
    }

    TEST_CASE_FIXTURE(Parsed, "tensors have their shape and place") {
        CHECK(header.header_bytes() == 608);
        REQUIRE(header.tensors().size() == 3);
        const TensorInfo& block = header.tensor("t.block");
        CHECK(block.type == kernels::DType::q8_0);
        CHECK(block.cols == 64);
        CHECK(block.rows == 2);
        CHECK(block.bytes == 2 * 2 * 34);
        CHECK(block.offset == 608 + 128);
        CHECK(header.find_tensor("t.none") == nullptr);
        CHECK(error_of([&] { header.tensor("t.none"); }) == "m.gguf: tensor 't.none' is missing");
        CHECK(parameter_count(header) == 32 + 128 + 8);
    }

    TEST_CASE("version 2 reads like version 3") {
        GgufBytes file(tests::sample_writer());
        file.put<std::uint32_t>(4, 2);
        CHECK(file.parse().tensors().size() == 3);
    }

    TEST_CASE("another alignment moves the data") {
        GgufBytes file(tests::sample_writer());
        file.put<std::uint32_t>(file.key_value("general.alignment"), 8);
        const GgufHeader header = file.parse();
        CHECK(header.header_bytes() % 8 == 0);
        CHECK(header.header_bytes() <= 608);
        CHECK(header.header_bytes() >= file.tensor_offset("t.vector") + 8);
    }

    TEST_CASE("dimensions after the first are rows together") {
        GgufBytes file(tests::sample_writer());
        // 64 x 2 becomes 32 x 2 x 2: the same amount of data.
        file.put<std::uint32_t>(file.after("t.block"), 3);
        file.put<std::uint64_t>(file.dimension("t.block", 1), 32);
        file.bytes().insert(file.dimension("t.block", 3), std::string("\2\0\0\0\0\0\0\0", 8));
        const std::size_t padded = (file.tensor_offset("t.vector") + 8 + 31) / 32 * 32;
        file.bytes().insert(file.tensor_offset("t.vector") + 8,
                            padded + 320 - file.bytes().size() + 32, '\0');
        const GgufHeader header = file.parse();
        CHECK(header.tensor("t.block").cols == 32);
        CHECK(header.tensor("t.block").rows == 4);
    }

    TEST_CASE("a file without tensors may end where its header does") {
        GgufWriter writer;
        writer.set("general.architecture", std::string{"llama"});
        const GgufBytes file(writer);
        CHECK(file.parse().header_bytes() == file.bytes().size());
        CHECK(quantisation_name(file.parse()) == "none");
    }

    TEST_CASE("the quantisation is what the file says, else what most weights are") {
        GgufWriter writer = tests::sample_writer();
        CHECK(quantisation_name(GgufBytes(writer).parse()) == "Q8_0");
        writer.set("general.file_type", std::uint32_t{15});
        CHECK(quantisation_name(GgufBytes(writer).parse()) == "Q4_K_M");
        writer.set("general.file_type", std::uint32_t{4711});
        CHECK(quantisation_name(GgufBytes(writer).parse()) == "Q8_0");
        writer.set("general.file_type", std::string{"nonsense"});
        CHECK(quantisation_name(GgufBytes(writer).parse()) == "Q8_0");
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "a file that cannot be a model says why") {
        const auto error = [&](const std::filesystem::path& path) {
            return error_of([&] { GgufFile file(path); });
        };
        const auto missing = folder / "missing.gguf";
        CHECK(error(missing) ==
              missing.string() + ": cannot open the model file: No such file or directory");
        CHECK(error(folder) == folder.string() + ": not a regular file, so it cannot be a model");
        const auto empty = folder / "empty.gguf";
        std::ofstream{empty};
        CHECK(error(empty) == empty.string() + ": the model file is empty");
        const auto fifo = folder / "fifo.gguf";
        REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
        CHECK(error(fifo) == fifo.string() + ": not a regular file, so it cannot be a model");
        const auto text = folder / "text.gguf";
        std::ofstream{text} << "This is no model.";
        CHECK(error(text) == text.string() +
                                 ": magic at byte 0: not a GGUF file: it does not begin with "
                                 "\"GGUF\"");
        std::ofstream{text} << "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n";
        CHECK(error(text).find("Git LFS pointer") != std::string::npos);
        std::ofstream{text} << "\n<!DOCTYPE html><html><body>Sign in</body></html>";
        CHECK(error(text).find("web page") != std::string::npos);
    }

    TEST_CASE_FIXTURE(tests::TemporaryFolder, "a file gives a tensor's data") {
        GgufWriter writer;
        const std::vector<float> values{1, 2, 3, 4, 5, 6};
        writer.add_tensor_f32("t", kernels::DType::f32, 3, 2, values);
        writer.write(folder / "m.gguf");
        const GgufFile file(folder / "m.gguf");
        CHECK(file.path() == folder / "m.gguf");
        CHECK(file.header().name() == (folder / "m.gguf").string());
        const auto data = file.data(file.header().tensor("t"));
        REQUIRE(data.size() == 24);
        CHECK(std::memcmp(data.data(), values.data(), 24) == 0);
    }
}

}  // namespace shoal::model::gguf_test
