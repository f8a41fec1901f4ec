// CRC32, CRC32C and CRC64NVME as S3 uses them: reflected in and out, initial value and final XOR all ones.
#pragma once

#include <cstdint>

#include "s3accel/bytes.h"

namespace s3accel {

// The CRC of `data`, or, given the CRC of what came before, of both together: crc32(b, crc32(a)).
// Check values of "123456789": cbf43926, e3069283, ae8b14860a799888.
std::uint32_t crc32(Bytes data, std::uint32_t crc = 0) noexcept;      // polynomial 04C11DB7
std::uint32_t crc32c(Bytes data, std::uint32_t crc = 0) noexcept;     // polynomial 1EDC6F41 (Castagnoli)
std::uint64_t crc64nvme(Bytes data, std::uint64_t crc = 0) noexcept;  // polynomial AD93D23594C93659

// The CRC of a || b from the CRCs of a and b and the length of b in bytes; O(log length_b).
std::uint32_t crc32_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_b) noexcept;
std::uint32_t crc32c_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_b) noexcept;
std::uint64_t crc64nvme_combine(std::uint64_t a, std::uint64_t b, std::uint64_t length_b) noexcept;

}  // namespace s3accel
