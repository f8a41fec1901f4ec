// base64_decode accepts exactly the texts that base64_encode makes.
#include "fuzz.h"
#include "s3accel/bytes.h"

using namespace s3accel;

std::vector<std::string> fuzz_seeds() {
  return {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYmFy", "Zh==", "Zm9=", "====", "AAAAAAAAAAA=", "Zm9v\n", "Zm-_"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<std::uint8_t> raw(size / 4 * 3);
  const std::ptrdiff_t n = base64_decode(text, raw.data());
  REQUIRE(n >= -1 && n <= static_cast<std::ptrdiff_t>(raw.size()));
  bool shape = size % 4 == 0;
  for (std::size_t i = 0; i < size; ++i) {
    const char c = text[i];
    const bool in_alphabet =
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
    const bool padding = c == '=' && i + 2 >= size && (i + 1 == size || text[size - 1] == '=');
    shape = shape && (in_alphabet || padding);
  }
  REQUIRE(shape || n < 0);
  if (n >= 0) {
    std::string again(base64_length(static_cast<std::size_t>(n)), '?');
    base64_encode({raw.data(), static_cast<std::size_t>(n)}, again.data());
    REQUIRE(again == text);
  }
  // And back: every input is the decoded form of its encoding.
  std::string encoded(base64_length(size), '?');
  base64_encode({data, size}, encoded.data());
  std::vector<std::uint8_t> decoded(encoded.size() / 4 * 3);
  REQUIRE(base64_decode(encoded, decoded.data()) == static_cast<std::ptrdiff_t>(size));
  REQUIRE(std::equal(data, data + size, decoded.begin()));
  return 0;
}
