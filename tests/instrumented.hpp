// Whether a sanitizer was compiled in: it makes everything several times slower, and has its own
// operator new and shadows of memory.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHOAL_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SHOAL_INSTRUMENTED 1
#endif
#endif
#ifndef SHOAL_INSTRUMENTED
#define SHOAL_INSTRUMENTED 0
#endif

namespace shoal::tests {

inline constexpr bool kInstrumented = SHOAL_INSTRUMENTED == 1;

/// What a test has more or less of, rounds or patience: `slow` is for builds with a sanitizer or
/// without optimization.
template <typename T>
constexpr T by_speed([[maybe_unused]] T usual, [[maybe_unused]] T slow) noexcept {
#if SHOAL_INSTRUMENTED || !defined(__OPTIMIZE__)
    return slow;
#else
    return usual;
#endif
}

}  // namespace shoal::tests
