// This part turns samples into lines: windows and transform.
#ifndef TP_AAC_SPECTRUM_H
#define TP_AAC_SPECTRUM_H

#include "frame.h"

typedef struct tp_aac_spectrum tp_aac_spectrum;

tp_aac_spectrum *tp_aac_spectrum_new(const tp_aac_form *form, int channels, float bandwidth);
void tp_aac_spectrum_free(tp_aac_spectrum *s);

// tp_aac_spectrum_take takes 1024 samples of each channel, interleaved.
void tp_aac_spectrum_take(tp_aac_spectrum *s, const float *pcm);
// tp_aac_spectrum_same says whether both channels of the frame are the same.
int tp_aac_spectrum_same(const tp_aac_spectrum *s);
// tp_aac_spectrum_layout chooses the windows of the frame before the latest one, and goes on to the next frame.
void tp_aac_spectrum_layout(tp_aac_spectrum *s, tp_aac_layout *l);
// tp_aac_spectrum_steady says whether a channel's higher frequencies are about as loud throughout that frame.
int tp_aac_spectrum_steady(const tp_aac_spectrum *s, int channel);
// tp_aac_spectrum_lines transforms a channel of that frame.
void tp_aac_spectrum_lines(tp_aac_spectrum *s, const tp_aac_layout *l, int channel, float *lines);

#endif
