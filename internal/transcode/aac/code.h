// This part turns scale factors into bits.
#ifndef TP_AAC_CODE_H
#define TP_AAC_CODE_H

#include "frame.h"

// tp_aac_code_quantise computes the values of the bands that have a scale factor. The values of the other bands, whose scale factor is -1,
// are 0. It raises scale factors that are too small for the lines, or too far from the scale factor before.
void tp_aac_code_quantise(const tp_aac_tables *t, const tp_aac_layout *l, tp_aac_channel *c);
// tp_aac_code_used returns how many bands of each group have values.
int tp_aac_code_used(const tp_aac_layout *l, const tp_aac_channel *c);
// tp_aac_code_books chooses the codebooks of the first bands of each group, and returns the bits of the channel.
int tp_aac_code_books(const tp_aac_tables *t, const tp_aac_layout *l, tp_aac_channel *c, int used);

// tp_aac_code_write writes a whole packet and returns its size. Bands that are set in is_middle hold middle and side. If pair is set and there
// is one channel, it stands for both channels of the stream.
int tp_aac_code_write(const tp_aac_tables *t, const tp_aac_layout *l, const tp_aac_channel *c, int channels, int pair,
	const uint8_t *is_middle, int used, uint8_t *data);

#endif
