// An encoder of AAC-LC (ISO/IEC 14496-3, 4) for one or two channels.
#ifndef TP_AAC_H
#define TP_AAC_H

#include <stdint.h>

typedef struct tp_aac tp_aac;

// tp_aac_new returns NULL for a form that there is none for, and without memory.
tp_aac *tp_aac_new(int rate, int channels, int bit_rate);
void tp_aac_free(tp_aac *e);

// tp_aac_encode takes 1024 samples a channel, interleaved, and returns the size of the packet of those before them, 0 the first
// time. data has room for TP_AAC_PACKET. *same becomes 1 if both of two channels were coded as one, else 0.
int tp_aac_encode(tp_aac *e, const float *pcm, uint8_t *data, int *same);

enum {
	TP_AAC_FRAME = 1024,
	TP_AAC_PACKET = 2 * 6144 / 8, // most that two channels can take (ISO/IEC 14496-3, 4.5.3.1)
};

#endif
