#include "s3accel/text.h"

#include <string>

#include "minitest.h"

using namespace s3accel;

TEST(text_holds_what_was_appended) {
  Text text;
  CHECK_EQ(text.size(), 0u);
  CHECK_EQ(text.view(), "");
  text.append("ab");
  text.append("");
  text.push('c');
  char* place = text.grow(2);
  place[0] = 'd';
  place[1] = 'e';
  CHECK_EQ(text.view(), "abcde");
  CHECK_EQ(text.view(1, 3), "bcd");
  text.truncate(4);
  CHECK_EQ(text.view(), "abcd");
  text.clear();
  CHECK_EQ(text.view(), "");
  text.append("x");
  CHECK_EQ(text.view(), "x");
}

TEST(text_moves_to_the_heap_and_keeps_its_content) {
  for (std::size_t piece :
       {std::size_t{1}, std::size_t{7}, std::size_t{100}, Text::kInline, 5 * Text::kInline}) {
    Text text;
    std::string expected;
    while (expected.size() < 6 * Text::kInline) {
      const std::string more(piece, static_cast<char>('a' + expected.size() % 26));
      text.append(more);
      expected += more;
      if (text.view() != expected) break;
    }
    CHECK(text.view() == expected);
    CHECK_EQ(text.size(), expected.size());
  }
}

TEST(text_is_exact_at_the_edge_of_its_inner_room) {
  for (std::size_t n : {Text::kInline - 1, Text::kInline, Text::kInline + 1}) {
    Text text;
    text.append(std::string(n, 'a'));
    const bool inside =
        static_cast<const void*>(text.data()) >= &text && static_cast<const void*>(text.data()) < &text + 1;
    CHECK_EQ(inside, n <= Text::kInline);
    text.push('b');
    CHECK_EQ(text.view(), std::string(n, 'a') + "b");
  }
}
