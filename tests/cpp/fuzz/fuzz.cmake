# Fuzz targets. Included by tests.cmake.
#
# replay_X: seeds, the kept corpus and random mutations, any compiler; ctest runs each for a few seconds (label fuzz).
# fuzz_X:   the same with libFuzzer: clang and -DS3ACCEL_FUZZ=ON, best with -DS3ACCEL_SANITIZE=address,undefined.
option(S3ACCEL_FUZZ "Build the libFuzzer targets (clang)" OFF)
if(S3ACCEL_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "S3ACCEL_FUZZ needs clang: set CMAKE_CXX_COMPILER=clang++ and CMAKE_C_COMPILER=clang.")
  endif()
  target_compile_options(s3accel_core PRIVATE -fsanitize=fuzzer-no-link)
endif()

add_library(s3accel_replay OBJECT ${CMAKE_CURRENT_LIST_DIR}/replay.cpp)
foreach(_target IN ITEMS auth base64 canonical chunk_decoder chunk_encoder presign request split uri url verify)
  set(_source ${CMAKE_CURRENT_LIST_DIR}/fuzz_${_target}.cpp)
  add_executable(replay_${_target} ${_source} $<TARGET_OBJECTS:s3accel_replay>)
  target_link_libraries(replay_${_target} PRIVATE s3accel_core)
  target_compile_options(replay_${_target} PRIVATE -Wall -Wextra -Wshadow)
  add_test(NAME fuzz-${_target} COMMAND replay_${_target} --seconds 2 --dict ${CMAKE_CURRENT_LIST_DIR}/s3.dict
                                        ${CMAKE_CURRENT_LIST_DIR}/corpus/${_target})
  set_tests_properties(fuzz-${_target} PROPERTIES LABELS fuzz)
  if(S3ACCEL_FUZZ)
    add_executable(fuzz_${_target} ${_source})
    target_link_libraries(fuzz_${_target} PRIVATE s3accel_core)
    target_compile_options(fuzz_${_target} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${_target} PRIVATE -fsanitize=fuzzer)
  endif()
endforeach()
