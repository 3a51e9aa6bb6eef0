#!/bin/sh
# A water meter to Home Assistant: a camera is read once a minute, and the value becomes a sensor.
#
#     pip install 'digitspot[watch]'
#     CAMERA=rtsp://camera/stream BROKER=homeassistant.local sh examples/water_meter.sh
#
# CAMERA is a camera's address, a film or a folder of photographs. BROKER is the MQTT broker of Home Assistant,
# HOST or HOST:PORT; $MQTT_USER and $MQTT_PASSWORD are used. REGION is the place of the wheels in the picture.
# LENGTH wheels are read, DECIMALS of them behind the point. MAX_CHANGE is what can flow between two values, also
# while the camera is down. Further options of `digitspot watch` can follow.
#
# Five frames are voted to one value. A value that falls, or rises by more than MAX_CHANGE, is not answered.
# Each value is printed as a line of JSON, and kept in water.db and water.csv. Home Assistant finds the sensor
# "water" by itself; since it is of class water, in m³, the energy dashboard can show it.
# Start the same command again after a restart: no value is lost.
set -eu
exec digitspot watch "$CAMERA" \
    --region "${REGION:-0,0,1,1}" --length "${LENGTH:-8}" --decimals "${DECIMALS:-3}" \
    --every 60 --frames 5 --max-change "${MAX_CHANGE:-2}" --abstain-below 0.8 \
    --store water.db --csv water.csv \
    --mqtt "$BROKER" --name water --device-class water --unit m³ "$@"
