//go:build cgo

#include "video.h"

#include <libavcodec/avcodec.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/frame.h>
#include <libavutil/mem.h>

const AVFrame *tp_canvas_shown(const tp_canvas *c);

struct tp_video_encoder {
	AVCodecContext *ctx;
	AVFrame *frame;
	AVPacket *packet;
	int64_t next; // the encoder counts pictures, whatever their times are
	int quality;
};

void tp_video_encoder_free(tp_video_encoder *e) {
	if (!e)
		return;
	avcodec_free_context(&e->ctx);
	av_frame_free(&e->frame);
	av_packet_free(&e->packet);
	av_free(e);
}

// set_rate asks for a constant bit rate, which services expect, or for constant quality with a bit rate as the upper bound.
static void set_rate(tp_video_encoder *e, int64_t rate_bps, int64_t buffer) {
	AVCodecContext *c = e->ctx;
	c->bit_rate = e->quality > 0 ? 0 : rate_bps;
	c->rc_max_rate = rate_bps;
	c->rc_buffer_size = (int)buffer; // the caller keeps it within the int
}

static void set_x264(AVDictionary **options, const tp_encoding *as) {
	av_dict_set(options, "preset", as->preset, 0);
	if (as->quality > 0)
		av_dict_set_int(options, "crf", as->quality, 0);
	av_dict_set(options, "tune", "zerolatency", 0);
	av_dict_set(options, "profile", "high", 0);
	av_dict_set(options, "forced-idr", "1", 0);
	av_dict_set(options, "x264-params", "scenecut=0:force-cfr=1", 0);
}

// set_vpx sets up libvpx as for calls: each picture comes out at once. It costs a third more than superfast H.264.
static void set_vpx(AVDictionary **options) {
	av_dict_set(options, "deadline", "realtime", 0);
	av_dict_set(options, "cpu-used", "12", 0);
	av_dict_set(options, "static-thresh", "100", 0);
	av_dict_set(options, "lag-in-frames", "0", 0);
	av_dict_set(options, "auto-alt-ref", "0", 0);
}

static int encoder_open(tp_video_encoder *e, const tp_encoding *as) {
	const AVCodec *codec = avcodec_find_encoder_by_name(as->vp8 ? "libvpx" : "libx264");
	if (!codec)
		return AVERROR_ENCODER_NOT_FOUND;
	AVCodecContext *c = e->ctx = avcodec_alloc_context3(codec);
	e->frame = av_frame_alloc();
	e->packet = av_packet_alloc();
	if (!c || !e->frame || !e->packet)
		return AVERROR(ENOMEM);
	c->width = as->width;
	c->height = as->height;
	c->pix_fmt = AV_PIX_FMT_YUV420P;
	c->framerate = (AVRational){as->rate_num, as->rate_den};
	c->time_base = (AVRational){as->rate_den, as->rate_num};
	c->thread_count = as->threads;
	c->max_b_frames = 0;
	c->gop_size = 1 << 30; // no key frames by itself: the caller asks for each of them
	e->quality = as->vp8 ? 0 : as->quality; // VP8 is for players, who get a constant rate
	set_rate(e, as->rate_bps, as->buffer);
	c->color_range = AVCOL_RANGE_MPEG;
	c->colorspace = as->matrix;
	c->color_primaries = as->matrix == AVCOL_SPC_BT709 ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
	c->color_trc = as->matrix == AVCOL_SPC_BT709 ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;

	AVDictionary *options = NULL;
	if (as->vp8) {
		c->rc_min_rate = as->rate_bps; // without a minimum, libvpx would only keep the rate on average
		c->qmin = 4;
		c->qmax = 56;
		set_vpx(&options);
	} else {
		c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
		set_x264(&options, as);
	}
	int r = avcodec_open2(c, codec, &options);
	av_dict_free(&options);
	return r;
}

int tp_video_encoder_new(tp_video_encoder **out, const tp_encoding *as) {
	tp_video_encoder *e = av_mallocz(sizeof *e);
	if (!e)
		return AVERROR(ENOMEM);
	int r = encoder_open(e, as);
	if (r < 0) {
		tp_video_encoder_free(e);
		return r;
	}
	*out = e;
	return 0;
}

int tp_video_encoder_config(const tp_video_encoder *e, const uint8_t **config) {
	*config = e->ctx->extradata;
	return e->ctx->extradata_size;
}

int tp_video_encoder_encode(tp_video_encoder *e, const tp_canvas *c, int key, int64_t rate_bps, int64_t buffer,
	const uint8_t **data) {
	av_packet_unref(e->packet);
	int r = av_frame_ref(e->frame, tp_canvas_shown(c));
	if (r < 0)
		return r;
	e->frame->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
	e->frame->pts = e->next++;
	set_rate(e, rate_bps, buffer);
	r = avcodec_send_frame(e->ctx, e->frame);
	av_frame_unref(e->frame);
	if (r >= 0)
		r = avcodec_receive_packet(e->ctx, e->packet);
	if (r < 0)
		return r;
	*data = e->packet->data;
	return e->packet->size;
}
