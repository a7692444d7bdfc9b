#include "daemon/exec/mapped_memory.hpp"

#include <sys/mman.h>

#include <new>

namespace shoal::exec {

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
