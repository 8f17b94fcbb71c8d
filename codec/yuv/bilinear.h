#include <stdint.h>

typedef struct { uint8_t *y, *u, *v; int ys, uvs, w, h; } picture;

// bilinear scales s to d where that is by 1 to 2 both ways, as libyuv would, to
// within a step or two, and several times as fast. It returns 0 if it has not.
int bilinear(picture s, picture d);
