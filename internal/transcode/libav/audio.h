// A thin layer over libavcodec and libswresample. PCM is interleaved float; decoded PCM is stereo at TP_RATE. Negative
// results are FFmpeg's error codes.
#ifndef TP_AUDIO_H
#define TP_AUDIO_H

#include <stdint.h>
#include <libavcodec/codec_id.h>

#define TP_RATE 48000

typedef struct tp_decoder tp_decoder;
typedef struct tp_encoder tp_encoder;

void tp_quiet(void);
void tp_error(int code, char *text, int size);
const char *tp_version(void);

// tp_decoder_new returns 0 and the decoder, or an error.
int tp_decoder_new(tp_decoder **out, enum AVCodecID codec, int rate, int channels, const uint8_t *config, int size);
// tp_decoder_decode writes at most room samples per channel and returns how many.
int tp_decoder_decode(tp_decoder *d, const uint8_t *data, int size, float *pcm, int room);
// tp_decoder_delay returns how many samples per channel the resampler still holds.
int tp_decoder_delay(tp_decoder *d);
void tp_decoder_free(tp_decoder *d);

// tp_encoder_known reports whether this FFmpeg has an encoder for a codec.
int tp_encoder_known(enum AVCodecID codec);
// tp_encoder_new returns 0 and the encoder, or an error. With a bit rate of 0 the encoder chooses the bit rate.
int tp_encoder_new(tp_encoder **out, enum AVCodecID codec, int rate, int channels, int64_t bit_rate);
// tp_encoder_encode takes one frame and returns the size of the packet written to data, 0 if there is none yet.
int tp_encoder_encode(tp_encoder *e, const float *pcm, uint8_t *data, int room);
int tp_encoder_frame_size(const tp_encoder *e);
int tp_encoder_delay(const tp_encoder *e);
int tp_encoder_config(const tp_encoder *e, const uint8_t **config);
void tp_encoder_free(tp_encoder *e);

#endif
