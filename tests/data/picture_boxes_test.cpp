/// Ground truth of detectors: read, carried through crops, and scored against.

#include "fixtures.h"

#include "data/metric.h"
#include "data/picture_views.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::Folder;
using testing::AllOf;
using testing::HasSubstr;

void write_picture(const Folder& folder, const std::string& name, int width = 200, int height = 100) {
  folder.write(name, test::textured(width, height, std::hash<std::string>()(name)));
}

void expect_box(const LabelledBox& box, float x0, float y0, float x1, float y1, int label) {
  EXPECT_NEAR(box.x0, x0, 1e-3);
  EXPECT_NEAR(box.y0, y0, 1e-3);
  EXPECT_NEAR(box.x1, x1, 1e-3);
  EXPECT_NEAR(box.y1, y1, 1e-3);
  EXPECT_EQ(box.label, label);
}

TEST(YoloBoxes, AreReadBesideThePictureOrInAFolderOfLabels) {
  for (const char* place : {"p/images/a.txt", "p/images/labels/a.txt", "p/labels/a.txt"}) {
    Folder folder;
    write_picture(folder, "p/images/a.png");
    write_picture(folder, "p/images/b.png");
    folder.write(place, std::string("2 0.5 0.5 0.2 0.4\n\n0 0.05 0.5 0.2 1\r\n"));
    const auto source = open_source(folder.config("{source: images, path: p/images, labels: yolo}"), 1);
    EXPECT_TRUE(source->has_boxes());
    EXPECT_FALSE(source->labelled());
    EXPECT_EQ(source->classes(), 3);
    const Frame a = source->read(Split::evaluation, 0), b = source->read(Split::evaluation, 1);
    ASSERT_EQ(a.boxes.size(), 2u) << place;
    expect_box(a.boxes[0], 80, 30, 120, 70, 2);
    expect_box(a.boxes[1], 0, 0, 30, 100, 0);  // cut at the border
    EXPECT_TRUE(b.boxes.empty());
  }
}

TEST(YoloBoxes, FollowEveryCropAndFlip) {
  Folder folder;  // a white rectangle on black, found again by its pixels
  cv::Mat picture(120, 160, CV_8UC3, cv::Scalar::all(0));
  picture(cv::Rect(60, 40, 40, 30)).setTo(cv::Scalar::all(255));
  folder.write("p/a.png", picture);
  folder.write("p/a.txt", fmt::format("1 {} {} {} {}\n", 80 / 160.0, 55 / 120.0, 40 / 160.0, 30 / 120.0));
  for (const char* size : {"", ", size: [80, 80]"}) {
    const auto source =
        open_source(folder.config(fmt::format(
                        "{{source: images, path: p, labels: yolo, augment: {{flip: true, brightness: 0 %}}{}}}", size)),
                    1);
    int seen = 0;
    for (const Split split : {Split::calibration, Split::training, Split::evaluation, Split::stream})
      for (std::size_t i = 0; i < std::min<std::size_t>(100, source->size(split)); ++i) {
        const Frame frame = source->read(split, i);
        cv::Mat white;
        cv::extractChannel(frame.image, white, 0);
        std::vector<cv::Point> places;
        cv::findNonZero(white > 127, places);
        if (frame.boxes.empty()) {
          EXPECT_TRUE(places.empty()) << i;
          continue;
        }
        ASSERT_EQ(frame.boxes.size(), 1u);
        const LabelledBox& box = frame.boxes[0];
        if (places.empty()) {
          EXPECT_TRUE(box.ignore || (box.x1 - box.x0) * (box.y1 - box.y0) < 2);
          continue;
        }
        ++seen;
        int x0 = 9999, y0 = 9999, x1 = 0, y1 = 0;
        for (const cv::Point& p : places)
          x0 = std::min(x0, p.x), y0 = std::min(y0, p.y), x1 = std::max(x1, p.x + 1), y1 = std::max(y1, p.y + 1);
        EXPECT_NEAR(box.x0, x0, 1.01) << i;
        EXPECT_NEAR(box.y0, y0, 1.01) << i;
        EXPECT_NEAR(box.x1, x1, 1.01) << i;
        EXPECT_NEAR(box.y1, y1, 1.01) << i;
      }
    EXPECT_GT(seen, 200);
  }
}

TEST(BoxesIn, FragmentsAreIgnoredAndWhatIsOutsideIsLeftOut) {
  View view;
  view.image = cv::Mat(10, 10, CV_8UC3);
  view.crop = cv::Rect(50, 50, 20, 20);                                      // shrunk by half
  const std::vector<LabelledBox> shares{{0.5f, 0.5f, 0.6f, 0.6f, 1, false},  // half in the view, in each direction
                                        {0.4f, 0.5f, 0.55f, 0.6f, 2, false},
                                        {0.1f, 0.1f, 0.5f, 0.5f, 3, false}};
  const auto seen = boxes_in(view, {100, 100}, shares);
  ASSERT_EQ(seen.size(), 2u);
  expect_box(seen[0], 0, 0, 5, 5, 1);
  EXPECT_FALSE(seen[0].ignore);
  expect_box(seen[1], 0, 0, 2.5f, 5, 2);
  EXPECT_FALSE(seen[1].ignore);  // a third is seen
  const auto fragment = boxes_in(view, {100, 100}, std::vector<LabelledBox>{{0.3f, 0.3f, 0.55f, 0.55f, 1, false}});
  ASSERT_EQ(fragment.size(), 1u);
  EXPECT_TRUE(fragment[0].ignore);
}

TEST(YoloBoxes, NamesFileAndLineOfWhatIsWrong) {
  Folder folder;
  write_picture(folder, "p/a.png");
  folder.write("names.txt", std::string("car\nbus\n"));
  const auto said = [&](const std::string& lines, const std::string& more = "") {
    folder.write("p/a.txt", lines);
    return test::complaint(
        [&] { (void)open_source(folder.config("source: images\npath: p\nlabels: yolo\n" + more), 1); });
  };
  EXPECT_EQ(said("1 0.5 0.5 0.1 0.1"), "");
  EXPECT_EQ(said("bus 0.5 0.5 0.1 0.1", "classes: names.txt"), "");
  EXPECT_THAT(said("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1"),
              AllOf(HasSubstr("tasks.yaml:3: labels: "), HasSubstr("a.txt:2: '1 0.5 0.5 0.1': has 4 values"),
                    HasSubstr("class cx cy w h")));
  EXPECT_THAT(said("0 nan 0.5 0.1 0.1"), AllOf(HasSubstr("a.txt:1"), HasSubstr("'nan' is not accepted")));
  EXPECT_THAT(said("0 0.5 0.5 0.1 1.5"), AllOf(HasSubstr("'1.5' is not accepted"), HasSubstr("0 to 1")));
  EXPECT_THAT(said("0 0.5 0.5 0 0.1"), HasSubstr("no area"));
  EXPECT_THAT(said("-1 0.5 0.5 0.1 0.1"), HasSubstr("'-1' is not a class; a number from 0 on"));
  EXPECT_THAT(said("2 0.5 0.5 0.1 0.1", "classes: names.txt"), HasSubstr("a name of `classes`"));
  std::filesystem::remove(folder.path("p/a.txt"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: images, path: p, labels: yolo}"), 1); }),
              AllOf(HasSubstr("no picture of"), HasSubstr("a.txt is looked for")));
}

std::string coco(const std::string& annotations, const std::string& more = "") {
  return R"({"images": [{"id": 7, "file_name": "a.png", "width": 400, "height": 200},
                        {"id": 9, "file_name": "val/b.png", "width": 200, "height": 100}, {"id": 3, "file_name": "elsewhere.png"}],
             "categories": [{"id": 90, "name": "bus"}, {"id": 3, "name": "car"}], "annotations": [)" +
         annotations + "]" + more + "}";
}

TEST(CocoBoxes, AreScaledNumberedAndParted) {
  Folder folder;
  write_picture(folder, "p/a.png");
  write_picture(folder, "p/b.png");
  folder.write("names.txt", std::string("bus\nlorry\ncar\n"));
  folder.write("boxes.json",
               coco(R"({"image_id": 7, "category_id": 90, "bbox": [40, 20, 100.0, 80], "segmentation": [[1, 2, [3]]]},
                       {"image_id": 7, "category_id": 3, "bbox": [300, 0, 100, 200], "iscrowd": 1},
                       {"image_id": 9, "category_id": 3, "bbox": [5, 5, 0, 10]},
                       {"image_id": 3, "category_id": 3, "bbox": [5, 5, 1, 10]})"));
  const auto labels = [&](const std::string& more) {
    const auto source =
        open_source(folder.config("{source: images, path: p, labels: {coco: boxes.json" + more + "}"), 1);
    const Frame a = source->read(Split::evaluation, 0);
    EXPECT_EQ(a.boxes.size(), 2u);
    expect_box(a.boxes[0], 20, 10, 70, 50, a.boxes[0].label);  // the picture is half as large as the file says
    EXPECT_FALSE(a.boxes[0].ignore);
    EXPECT_TRUE(a.boxes[1].ignore);
    EXPECT_TRUE(source->read(Split::evaluation, 1).boxes.empty());
    return std::pair{a.boxes[0].label, a.boxes[1].label};
  };
  EXPECT_EQ(labels("}"), std::pair(1, 0));  // by id: 3, 90
  EXPECT_EQ(labels(", ids: original}"), std::pair(90, 3));
  EXPECT_EQ(labels("}, classes: names.txt"), std::pair(0, 2));
}

TEST(CocoBoxes, NamesThePlaceOfWhatIsWrong) {
  Folder folder;
  write_picture(folder, "p/a.png");
  write_picture(folder, "p/b.png");
  const auto said = [&](const std::string& json) {
    folder.write("boxes.json", json);
    return test::complaint(
        [&] { (void)open_source(folder.config("source: images\npath: p\nlabels: {coco: boxes.json}"), 1); });
  };
  EXPECT_EQ(said(coco("")), "");
  EXPECT_THAT(said(coco(R"({"image_id": 7, "category_id": 3, "bbox": [0, 0, NaN, 1]})")),
              AllOf(HasSubstr("tasks.yaml:3: labels.coco: "), HasSubstr("boxes.json: parse error at line 3")));
  EXPECT_THAT(said(coco("").substr(0, 60)), AllOf(HasSubstr("boxes.json: parse error"), HasSubstr("accepted")));
  EXPECT_THAT(said(coco(R"({"image_id": 7, "category_id": 3, "bbox": [0, 0, 1e999, 1]})")), HasSubstr("boxes.json: "));
  EXPECT_THAT(said("[]"), HasSubstr("is no JSON object"));
  EXPECT_THAT(said("{}"), HasSubstr("has no list 'categories'"));
  EXPECT_THAT(said(coco(R"({"image_id": 7, "category_id": 3, "bbox": [0, 0, 1]})")),
              AllOf(HasSubstr("annotations[0].bbox is [0,0,1]"), HasSubstr("[x, y, width, height]")));
  EXPECT_THAT(said(coco(R"({"image_id": 7, "category_id": 3, "bbox": [0, 0, 401, 210]})")),
              HasSubstr("not within the picture of 400 x 200 pixels"));
  EXPECT_THAT(said(coco(R"({"image_id": 7, "category_id": 3, "bbox": [0, 0, -1, 10]})")), HasSubstr("not within"));
  EXPECT_THAT(said(coco(R"({"image_id": 7, "category_id": 4, "bbox": [0, 0, 1, 1]})")), HasSubstr("category_id"));
  EXPECT_THAT(said(coco(R"({"image_id": 8, "category_id": 3, "bbox": [0, 0, 1, 1]})")), HasSubstr("image_id"));
  EXPECT_THAT(said(coco(R"({"image_id": "7", "category_id": 3, "bbox": [0, 0, 1, 1]})")),
              HasSubstr("annotations[0].image_id is \"7\"; a whole number is accepted"));
  EXPECT_THAT(said(coco("3")), HasSubstr("annotations[0].image_id is not there"));
  write_picture(folder, "p/c.png");
  EXPECT_THAT(said(coco("")), HasSubstr("no entry in `images` for the picture 'c.png'"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: images, path: p, labels: {}}"), 1); }),
              HasSubstr("names no file"));
}

Box found(float x0, float x1, float score, int label = 0) { return {x0, 0, x1, 10, score, label}; }
LabelledBox truth(float x0, float x1, int label = 0, bool ignore = false) { return {x0, 0, x1, 10, label, ignore}; }

double map50(std::initializer_list<std::pair<std::vector<Box>, std::vector<LabelledBox>>> frames) {
  const auto metric = make_metric("map50", "detections", 0);
  for (const auto& [boxes, truths] : frames) {
    Result result;
    result.boxes = boxes;
    Frame frame;
    frame.boxes = truths;
    metric->add(result, Result{}, frame);
  }
  EXPECT_EQ(metric->count(), frames.size());
  return metric->value();
}

TEST(Map50, IsOneForAPerfectDetectorAndZeroForASilentOne) {
  EXPECT_DOUBLE_EQ(map50({{{found(0, 10, 0.3f), found(20, 30, 0.9f, 1)}, {truth(0, 10), truth(20, 30, 1)}}}), 1);
  EXPECT_DOUBLE_EQ(map50({{{}, {truth(0, 10)}}}), 0);
  EXPECT_DOUBLE_EQ(map50({{{}, {}}}), 1);
  EXPECT_DOUBLE_EQ(map50({{{found(0, 10, 0.5f)}, {}}}), 0);
}

TEST(Map50, IsTheAreaUnderTheEnvelopeOfPrecision) {
  // By score: right, wrong, right, wrong, right of 4 boxes: precision 1, 1/2, 2/3, 2/4, 3/5; the envelope is 1, 2/3,
  // 3/5 where recall grows by a quarter each.
  EXPECT_NEAR(map50({{{found(0, 10, 0.9f), found(50, 60, 0.8f), found(20, 30, 0.7f)}, {truth(0, 10), truth(20, 30)}},
                     {{found(50, 60, 0.6f), found(0, 10, 0.5f)}, {truth(0, 10), truth(80, 90)}}}),
              (1 + 2.0 / 3 + 3.0 / 5) / 4, 1e-9);
  // The envelope: precision after the first (wrong) is 0, but 1/2 is reached at the same recall or a higher one.
  EXPECT_NEAR(map50({{{found(50, 60, 0.9f), found(0, 10, 0.8f)}, {truth(0, 10)}}}), 0.5, 1e-9);
}

TEST(Map50, CountsASecondDetectionOfAThingAsWrongWhateverTheOrderInTheResult) {
  const std::vector<LabelledBox> two{truth(0, 10), truth(20, 30)};
  const double once = map50({{{found(0, 10, 0.9f), found(20, 30, 0.7f)}, two}});
  const double twice = map50({{{found(20, 30, 0.7f), found(1, 10, 0.8f), found(0, 10, 0.9f)}, two}});
  EXPECT_DOUBLE_EQ(once, 1);
  EXPECT_NEAR(twice, (1 + 2.0 / 3) / 2, 1e-9);
}

TEST(Map50, NeedsHalfAnOverlapAndTheRightClass) {
  EXPECT_DOUBLE_EQ(map50({{{found(0, 20, 0.9f)}, {truth(0, 10)}}}), 1);  // exactly half
  EXPECT_DOUBLE_EQ(map50({{{found(0, 21, 0.9f)}, {truth(0, 10)}}}), 0);
  EXPECT_DOUBLE_EQ(map50({{{found(0, 10, 0.9f, 1)}, {truth(0, 10)}}}), 0);
  // A class without boxes has no say; a class that is never found counts as 0.
  EXPECT_DOUBLE_EQ(map50({{{found(0, 10, 0.9f), found(0, 10, 0.9f, 5)}, {truth(0, 10), truth(0, 10, 2)}}}), 0.5);
}

TEST(Map50, DoesNotCountIgnoredBoxesEitherWay) {
  EXPECT_DOUBLE_EQ(map50({{{found(0, 10, 0.8f), found(20, 30, 0.9f)}, {truth(0, 10), truth(20, 30, 0, true)}}}), 1);
  EXPECT_DOUBLE_EQ(map50({{{found(0, 10, 0.8f)}, {truth(0, 10), truth(20, 30, 0, true)}}}), 1);
  EXPECT_DOUBLE_EQ(map50({{{found(20, 30, 0.8f), found(20, 30, 0.7f)}, {truth(20, 30, 0, true)}}}), 1);
}

TEST(Map50, IsForDetectionsOnly) {
  EXPECT_THAT(test::complaint([] { (void)make_metric("map50", "classes", 0); }),
              AllOf(HasSubstr("'map50' is for `post: {kind: detections}`"), HasSubstr("'classes'")));
}

}  // namespace
}  // namespace rtmdl
