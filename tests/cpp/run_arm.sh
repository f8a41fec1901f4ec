#!/bin/sh
# Builds the kernels' C++ tests for 64-bit Arm and runs them under an emulator: tests/cpp/run_arm.sh [test arguments].
# Says by name what is missing and ends with 0 then, so that it can stand in any list of checks. Debian, Ubuntu:
#   apt-get install g++-aarch64-linux-gnu qemu-user
# An emulator shows that results are right; it says nothing about speed.
set -eu

compiler=${CXX_AARCH64:-aarch64-linux-gnu-g++}
emulator=${QEMU_AARCH64:-qemu-aarch64}
for tool in "$compiler" "$emulator"; do
  if ! command -v "$tool" >/dev/null 2>&1; then
    echo "skipped: arm tests: no $tool"
    exit 0
  fi
done

root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c++20 -O2 -Wall -Wextra -Werror -I$root/cpp/include -I$root/cpp/core"

for file in base/bytes base/secret hash/checksum hash/cpu hash/hmac hash/sha256; do
  "$compiler" $flags -c "$root/cpp/core/$file.cpp" -o "$out/${file##*/}.o"
done
for file in cpuid lanes registry crc_portable sha256_portable; do
  "$compiler" $flags -O3 -c "$root/cpp/core/hash/kernels/$file.cpp" -o "$out/$file.o"
done
# The flags of kernels.cmake.
"$compiler" $flags -O3 -march=armv8-a+crypto -c "$root/cpp/core/hash/kernels/sha256_armv8.cpp" -o "$out/sha256_armv8.o"
"$compiler" $flags -O3 -march=armv8-a+crypto+crc -c "$root/cpp/core/hash/kernels/crc_armv8.cpp" -o "$out/crc_armv8.o"
for file in main test_checksum test_cpu test_hmac test_sha256; do
  "$compiler" $flags -c "$root/tests/cpp/$file.cpp" -o "$out/$file.test.o"
done
"$compiler" -static "$out"/*.o -o "$out/tests"

status=0
for kernel in "" portable armv8 armv8-x2 armv8-pmull; do
  echo "--- aarch64, S3ACCEL_KERNEL=$kernel"
  S3ACCEL_KERNEL=$kernel "$emulator" "$out/tests" "$@" || status=1
done
exit $status
