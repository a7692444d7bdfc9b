// A file that claims much and holds little must not make the reader allocate what it claims.
// Sanitizers bring their own operator new, and see more when it stays: there is no counting there.
#include "tests/instrumented.hpp"

#if !SHOAL_INSTRUMENTED

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "daemon/model/gguf_limits.hpp"
#include "tests/model/gguf_bytes.hpp"

namespace {

std::atomic<std::size_t> largest_allocation{0};

void* counted(std::size_t bytes) {
    std::size_t largest = largest_allocation.load();
    while (bytes > largest && !largest_allocation.compare_exchange_weak(largest, bytes)) {
    }
    if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
    throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) {
    return counted(bytes);
}
void* operator new[](std::size_t bytes) {
    return counted(bytes);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace shoal::model {

TEST_SUITE("gguf memory") {
    TEST_CASE("claimed counts are not believed before the bytes are there") {
        struct Claim {
            const char* what;
            std::size_t at;
            std::uint64_t value;
        };
        const tests::GgufBytes good(tests::sample_writer());
        const Claim claims[] = {
            {"tensors", 8, limits::kMaxTensors},
            {"keys", 16, limits::kMaxKeys},
            {"string bytes", good.find("some text") - 8, limits::kMaxStringBytes},
            {"numbers", good.item_count("k.signed"), limits::kMaxArrayItems},
            {"strings", good.item_count("k.strings"), limits::kMaxArrayItems},
        };
        for (const Claim& claim : claims) {
            CAPTURE(std::string{claim.what});
            tests::GgufBytes file = good;
            file.put<std::uint64_t>(claim.at, claim.value);
            largest_allocation = 0;
            CHECK_THROWS_AS(file.parse(), ModelError);
            CHECK(largest_allocation.load() > 0);
            CHECK(largest_allocation.load() < 16384);
        }
    }
}

}  // namespace shoal::model

#endif
