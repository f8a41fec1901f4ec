# The C++ tests. Included by the top CMakeLists.txt when S3ACCEL_BUILD_TESTS is ON.
add_executable(s3accel_core_tests
  ${CMAKE_CURRENT_LIST_DIR}/main.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_allocation.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_bytes.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_canonical.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_checksum.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_chunk_decoder.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_chunked.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_cpu.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_error.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_hmac.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_secret.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_sha256.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_sigv4.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_text.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_uri.cpp
  ${CMAKE_CURRENT_LIST_DIR}/test_verify.cpp
)
target_link_libraries(s3accel_core_tests PRIVATE s3accel_core)
# Kernels are tested one by one, through the inner header.
target_include_directories(s3accel_core_tests PRIVATE cpp/core)
target_compile_options(s3accel_core_tests PRIVATE -Wall -Wextra -Wshadow)

# Once with the kernels this CPU chooses by itself, and once for each value of S3ACCEL_KERNEL. The program ends
# with 77 if the CPU cannot run what is asked for; ctest then shows that one as skipped, not as passed.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(_kernel_names portable shani shani-x2 shani-x3 shani-x4 hybrid avx2 avx2-x8 avx512 avx512-x16
                    pclmul vpclmul256 vpclmul512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  set(_kernel_names portable armv8 armv8-x2 armv8-pmull)
else()
  set(_kernel_names portable)
endif()
# main.cpp fails if the build has a kernel that is not in the list.
string(REPLACE ";" "," _kernel_list "${_kernel_names}")
set_property(SOURCE ${CMAKE_CURRENT_LIST_DIR}/main.cpp APPEND PROPERTY
             COMPILE_DEFINITIONS S3ACCEL_TESTED_KERNELS="${_kernel_list}")
add_test(NAME core COMMAND s3accel_core_tests)
foreach(_name IN LISTS _kernel_names)
  add_test(NAME core-${_name} COMMAND s3accel_core_tests)
  set_tests_properties(core-${_name} PROPERTIES ENVIRONMENT "S3ACCEL_KERNEL=${_name}")
  list(APPEND _kernel_tests core-${_name})
endforeach()
set_tests_properties(core ${_kernel_tests} PROPERTIES SKIP_RETURN_CODE 77)

# What threads share. With S3ACCEL_SANITIZE=thread this is the one to run: `ctest -R threads`.
find_package(Threads REQUIRED)
add_executable(s3accel_threads_tests ${CMAKE_CURRENT_LIST_DIR}/test_threads.cpp)
target_link_libraries(s3accel_threads_tests PRIVATE s3accel_core Threads::Threads)
target_compile_options(s3accel_threads_tests PRIVATE -Wall -Wextra -Wshadow)
add_test(NAME threads COMMAND s3accel_threads_tests)

# What a universal2 build compiles. It reads Ninja's commands, so it needs Ninja.
find_program(S3ACCEL_NINJA NAMES ninja ninja-build)
if(S3ACCEL_NINJA AND NOT CMAKE_OSX_ARCHITECTURES)
  add_test(NAME universal2 COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR}
                                   -DFOLDER=${CMAKE_CURRENT_BINARY_DIR}/universal -DNINJA=${S3ACCEL_NINJA}
                                   -DCXX=${CMAKE_CXX_COMPILER} -DC=${CMAKE_C_COMPILER}
                                   -P ${CMAKE_CURRENT_LIST_DIR}/universal.cmake)
else()
  message(STATUS "universal2 is left out: no ninja, or a build for chosen architectures")
endif()

# Reads of memory nobody wrote, in the kernels that valgrind knows (neither SHA-NI nor AVX-512; assembly is
# checked too, which sanitizers cannot do). The tests count allocations with an operator new of their own: its
# pairs with free() are not mismatches.
find_program(S3ACCEL_VALGRIND valgrind)
if(S3ACCEL_VALGRIND AND NOT S3ACCEL_SANITIZE)
  add_test(NAME core-valgrind COMMAND ${S3ACCEL_VALGRIND} -q --error-exitcode=9 --leak-check=full
                                      --show-mismatched-frees=no
                                      --suppressions=${CMAKE_CURRENT_LIST_DIR}/valgrind.supp
                                      $<TARGET_FILE:s3accel_core_tests>)
else()
  message(STATUS "core-valgrind is left out: no valgrind, or a build with sanitizers")
endif()

# Whether time, branches or addresses depend on secrets; see the program's head. The timings take minutes and an idle
# machine, so they are the long form.
add_executable(s3accel_constant_time ${CMAKE_CURRENT_LIST_DIR}/constant_time.cpp)
target_link_libraries(s3accel_constant_time PRIVATE s3accel_core)
target_include_directories(s3accel_constant_time PRIVATE cpp/core)
target_compile_options(s3accel_constant_time PRIVATE -Wall -Wextra -Wshadow)
foreach(_name IN LISTS _kernel_names)
  if(NOT _name MATCHES "clmul|pmull")
    add_test(NAME constant-time-${_name} COMMAND s3accel_constant_time)
    set_tests_properties(constant-time-${_name} PROPERTIES ENVIRONMENT "S3ACCEL_KERNEL=${_name}" SKIP_RETURN_CODE 77)
  endif()
endforeach()
if(S3ACCEL_VALGRIND AND NOT S3ACCEL_SANITIZE)
  add_test(NAME constant-time-valgrind COMMAND ${S3ACCEL_VALGRIND} -q $<TARGET_FILE:s3accel_constant_time>)
  set_tests_properties(constant-time-valgrind PROPERTIES SKIP_RETURN_CODE 77)
endif()
if("$ENV{S3ACCEL_LONG}" STREQUAL "1" AND NOT S3ACCEL_SANITIZE)
  add_test(NAME constant-time-timing COMMAND s3accel_constant_time --timing)
  set_tests_properties(constant-time-timing PROPERTIES RUN_SERIAL TRUE TIMEOUT 1800)
endif()

include(${CMAKE_CURRENT_LIST_DIR}/fuzz/fuzz.cmake)
