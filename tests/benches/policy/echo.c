/* The least that a write-policy plugin can do: it finds the id and accepts. */
#include <stdio.h>
#include <string.h>

int main(void) {
    static char line[17 << 20];
    while (fgets(line, sizeof line, stdin)) {
        char *id = strstr(line, "\"id\":\"");
        char *end = id ? strchr(id + 6, '"') : NULL;
        if (end)
            *end = 0;
        printf("{\"id\":\"%s\",\"action\":\"accept\"}\n", end ? id + 6 : "");
        fflush(stdout);
    }
    return 0;
}
