#include "daemon/exec/mapped_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

namespace shoal::exec {

void fetch_pages(const std::byte* data, std::size_t bytes) noexcept {
#ifdef MADV_POPULATE_READ
    static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(data) / page * page;
    const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(data) + bytes;
    // Linux before 5.14 refuses; then each page comes when it is touched.
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);
#else
    static_cast<void>(data);
    static_cast<void>(bytes);
#endif
}

MappedMemory::MappedMemory(std::size_t bytes) {
    if (bytes == 0) return;
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(p);
    bytes_ = bytes;
    madvise(data_, bytes_, MADV_HUGEPAGE);  // A wish: it matters for reading speed only.
}

MappedMemory::~MappedMemory() {
    if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace shoal::exec
