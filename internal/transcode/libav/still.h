// A thin layer over libswscale and libx264 for still pictures. Negative results are FFmpeg's error codes.
#ifndef TP_STILL_H
#define TP_STILL_H

#include <stdint.h>

// tp_still_encode encodes an RGBA picture, scaled to fit into width x height and centred on black, as one IDR picture. It returns the
// size of the access unit, in Annex B's form with parameter sets; *out is freed with tp_still_free.
int tp_still_encode(const uint8_t *rgba, int from_width, int from_height, int width, int height, uint8_t **out);
void tp_still_free(uint8_t *out);

#endif
