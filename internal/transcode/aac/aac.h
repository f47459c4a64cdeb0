// An encoder of AAC-LC (ISO/IEC 14496-3, 4) for one or two channels.
#ifndef TP_AAC_H
#define TP_AAC_H

#include <stdint.h>

typedef struct tp_aac tp_aac;

// tp_aac_new returns NULL if there is no encoder for the rate, the channels and the bit rate, or no memory.
tp_aac *tp_aac_new(int rate, int channels, int bit_rate);
void tp_aac_free(tp_aac *e);

// tp_aac_encode takes 1024 samples of each channel, interleaved. It writes the packet of the 1024 samples before them to data, which has
// room for TP_AAC_PACKET bytes, and returns the size of the packet; the first call returns 0. *same becomes 1 if two channels were encoded
// as one, else 0.
int tp_aac_encode(tp_aac *e, const float *pcm, uint8_t *data, int *same);

enum {
	TP_AAC_FRAME = 1024,
	TP_AAC_PACKET = 2 * 6144 / 8, // the largest packet of two channels (ISO/IEC 14496-3, 4.5.3.1)
};

#endif
