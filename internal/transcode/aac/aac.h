// An encoder of AAC-LC (ISO/IEC 14496-3, 4) for one or two channels.
#ifndef TP_AAC_H
#define TP_AAC_H

#include <stdint.h>

typedef struct tp_aac tp_aac;

// tp_aac_new returns NULL for a form that there is none for, and without memory.
tp_aac *tp_aac_new(int rate, int channels, int bit_rate);
void tp_aac_free(tp_aac *e);

// tp_aac_encode takes 1024 samples a channel, interleaved, and returns the size of the packet of those before them, 0 the first
// time. It never writes more than TP_AAC_MAX_PACKET.
int tp_aac_encode(tp_aac *e, const float *pcm, uint8_t *data);

enum { TP_AAC_MAX_PACKET = 2 * 768 };

#endif
