/*
 * Calls the service as a program on KDSoap does: with the classes kdwsdl2cpp makes from the WSDL. README.md says how to
 * talk to it.
 */

#include <QCoreApplication>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <iostream>
#include <string>

#include <KDSoapClient/KDDateTime.h>
#include <KDSoapClient/KDSoapClientInterface.h>

#include "service.h"

using Service = LicenseManagementService::LicenseManagementServiceSoap;

static TNS__LicenseType licenseType(const QString &name)
{
    TNS__LicenseType type;
    type.deserialize(KDSoapValue("LicenseType", name));
    return type;
}

static QString named(const TNS__LicenseType &type)
{
    return type.serialize("LicenseType").value().toString();
}

static QJsonValue time(const KDDateTime &time)
{
    return time.isValid() ? QJsonValue(time.toUTC().toString(Qt::ISODate)) : QJsonValue();
}

static QJsonObject outcome(const TNS__WebServiceResult &result)
{
    return {{"result", result.result()}, {"code", result.code()}, {"message", result.message()}};
}

static QJsonObject fault(const QString &text, const QString &code)
{
    return {{"fault", text}, {"faultcode", code}};
}

/* Sends a license type the WSDL does not have: the enumeration has those of the WSDL. */
static QJsonObject misled(Service &service, const TNS__AssignLicense &message, const QString &type)
{
    KDSoapMessage sent;
    sent = message.serialize("AssignLicense");
    auto &request = sent.childValues()[0];
    for (auto &member : request.childValues())
        if (member.name() == "LicenseType")
            member.setValue(type);
    const auto answer = service.clientInterface()->call("AssignLicense", sent, "sosonlinebackup.com/AssignLicense");
    const auto members = answer.childValues();
    const auto code = members.child("faultcode");
    const auto code12 = members.child("Code").childValues().child("Value");
    return fault(answer.faultAsString(), (code.isNull() ? code12 : code).value().toString());
}

static QJsonObject call(Service &service, const QString &operation, const QJsonObject &given)
{
    if (operation == "AssignLicense") {
        TNS__AssignLicenseRequest request;
        request.setUsername(given["Username"].toString());
        request.setLicenseProviderEntityId(given["LicenseProviderEntityId"].toInt());
        const QString type = given["LicenseType"].toString();
        request.setLicenseType(licenseType(type));
        TNS__AssignLicense message;
        message.setRequest(request);
        if (named(request.licenseType()) != type)
            return misled(service, message, type);
        return outcome(service.assignLicense(message).assignLicenseResult().result());
    }
    if (operation == "GetAssignedLicenseDetails") {
        TNS__GetAssignedLicenseDetailsRequest request;
        request.setUsername(given["Username"].toString());
        request.setLicenseType(licenseType(given["LicenseType"].toString()));
        TNS__GetAssignedLicenseDetails message;
        message.setRequest(request);
        const auto details = service.getAssignedLicenseDetails(message).getAssignedLicenseDetailsResult();
        auto out = outcome(details.result());
        /* A text that is absent has no QString: it is null. */
        out["ProductKey"] = details.productKey().isNull() ? QJsonValue() : details.productKey();
        const auto data = details.licenseData();
        out["LicenseData"] = data.isNull() ? QJsonValue() : QString::fromLatin1(data.toBase64());
        return out;
    }
    if (operation == "GetAssignedLicensesSummary") {
        TNS__GetAssignedLicensesSummaryRequest request;
        request.setEntityId(given["EntityId"].toInt());
        request.setChildAccountsOnly(given["ChildAccountsOnly"].toBool());
        TNS__GetAssignedLicensesSummary message;
        message.setRequest(request);
        const auto summary = service.getAssignedLicensesSummary(message).getAssignedLicensesSummaryResult();
        QJsonArray users;
        for (const auto &user : summary.usersLicenses().userLicenseSummary())
            users += QJsonObject{{"Username", user.username()}, {"LicenseType", named(user.licenseType())}};
        auto out = outcome(summary.result());
        out["UsersLicenses"] = QJsonObject{{"UserLicenseSummary", users}};
        return out;
    }
    if (operation == "UnassignLicense") {
        TNS__UnassignLicenseRequest request;
        request.setUsername(given["Username"].toString());
        request.setLicenseType(licenseType(given["LicenseType"].toString()));
        TNS__UnassignLicense message;
        message.setRequest(request);
        return outcome(service.unassignLicense(message).unassignLicenseResult().result());
    }
    if (operation == "TransferLicense") {
        TNS__TransferLicenseRequest request;
        request.setFromUsername(given["FromUsername"].toString());
        request.setToUsername(given["ToUsername"].toString());
        request.setLicenseType(licenseType(given["LicenseType"].toString()));
        TNS__TransferLicense message;
        message.setRequest(request);
        return outcome(service.transferLicense(message).transferLicenseResult().result());
    }
    if (operation == "GetLicensePools") {
        TNS__GetLicensePoolsRequest request;
        request.setEntityId(given["EntityId"].toInt());
        TNS__GetLicensePools message;
        message.setRequest(request);
        const auto answer = service.getLicensePools(message).getLicensePoolsResult();
        QJsonArray pools;
        for (const auto &pool : answer.pools().licensePool())
            pools += QJsonObject{
                {"PoolId", pool.poolId()},
                {"LicenseType", named(pool.licenseType())},
                {"SeatsTotal", pool.seatsTotal()},
                {"SeatsInUse", pool.seatsInUse()},
                {"SeatsFree", pool.seatsFree()},
                {"SeatsInUseMax", pool.seatsInUseMax()},
                {"StartsAt", time(pool.startsAt())},
                {"ExpiresAt", time(pool.expiresAt())},
            };
        auto out = outcome(answer.result());
        out["Pools"] = QJsonObject{{"LicensePool", pools}};
        return out;
    }
    if (operation == "AssignLicenses") {
        QList<TNS__AssignLicensesItem> items;
        for (const auto &of : given["Items"].toObject()["AssignLicensesItem"].toArray()) {
            TNS__AssignLicensesItem item;
            item.setUsername(of.toObject()["Username"].toString());
            item.setLicenseProviderEntityId(of.toObject()["LicenseProviderEntityId"].toInt());
            item.setLicenseType(licenseType(of.toObject()["LicenseType"].toString()));
            items += item;
        }
        TNS__ArrayOfAssignLicensesItem array;
        array.setAssignLicensesItem(items);
        TNS__AssignLicensesRequest request;
        request.setItems(array);
        request.setDryRun(given["DryRun"].toBool());
        TNS__AssignLicenses message;
        message.setRequest(request);
        const auto answer = service.assignLicenses(message).assignLicensesResult();
        QJsonArray results;
        for (const auto &item : answer.results().assignLicensesItemResult()) {
            const QJsonObject result{{"Result", item.result().result()}, {"Code", item.result().code()}};
            results += QJsonObject{{"Username", item.username()}, {"Result", result}};
        }
        auto out = outcome(answer.result());
        out["Results"] = QJsonObject{{"AssignLicensesItemResult", results}};
        return out;
    }
    return {{"error", operation}};
}

static QJsonObject call(Service &service, const QJsonObject &given)
{
    TNS__AuthHeader header;
    header.setUserName(given["user_name"].toString());
    header.setPassword(given["password"].toString());
    service.setAuthHeader(header);
    const auto out = call(service, given["operation"].toString(), given["request"].toObject());
    return service.lastError().isEmpty() || out.contains("fault") ? out : fault(service.lastError(), service.lastFaultCode());
}

int main(int count, char **arguments)
{
    QCoreApplication application(count, arguments);
    const bool soap12 = QString(arguments[2]) == "1.2";
    Service service;
    service.setEndPoint(QString(arguments[1]).section('?', 0, 0));
    if (soap12)
        service.setSoapVersion(KDSoapClientInterface::SOAP1_2);
    for (std::string line; std::getline(std::cin, line);) {
        const auto given = QJsonDocument::fromJson(QByteArray::fromStdString(line)).object();
        const auto out = QJsonDocument(call(service, given)).toJson(QJsonDocument::Compact);
        std::cout << out.toStdString() << std::endl;
    }
}
